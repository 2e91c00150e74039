"""A speech recogniser hands logits to the CTC loss, which takes log-probabilities and, unlike cross entropy, makes none."""

import torch
from torch import nn

FINDING = "not-log-probabilities"


def step(*, normalised):
    torch.manual_seed(0)
    recurrent, head = nn.GRU(8, 16, bidirectional=True), nn.Linear(32, 6)
    frames, letters = torch.randn(20, 4, 8), torch.randint(1, 6, (4, 5))
    scores = head(recurrent(frames)[0])
    if normalised:
        scores = scores.log_softmax(dim=2)
    lengths = torch.tensor([20, 20, 16, 12])
    return nn.functional.ctc_loss(scores, letters, lengths, torch.full((4,), 5))


def broken():
    return step(normalised=False)


def healthy():
    return step(normalised=True)
