"""Logits (B, T, V) are brought to the (B, V, T) of cross_entropy by `reshape`, which mixes classes and positions."""

import torch
from torch import nn

FINDING = "reshaped-classes"


def step(*, transpose):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(12, 8), nn.Tanh(), nn.Linear(8, 12))
    tokens = torch.randint(0, 12, (4, 7))
    logits = model(tokens[:, :-1])
    logits = logits.transpose(1, 2) if transpose else logits.reshape(4, 12, 6)
    return nn.functional.cross_entropy(logits, tokens[:, 1:])


def broken():
    return step(transpose=False)


def healthy():
    return step(transpose=True)
