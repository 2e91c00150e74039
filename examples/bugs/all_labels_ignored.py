"""Labels shifted by one and cut to the wrong side of the prompt: all are -100, and the mean over none is NaN."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(*, answer):
    torch.manual_seed(0)
    embedding, head = nn.Embedding(50, 16), nn.Linear(16, 50)
    ids = torch.randint(0, 50, (2, 12))
    labels = torch.full_like(ids, -100)
    labels[:, answer] = ids[:, answer]
    logits = head(embedding(ids))
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())


def broken():
    return step(answer=slice(12, None))


def healthy():
    return step(answer=slice(8, None))
