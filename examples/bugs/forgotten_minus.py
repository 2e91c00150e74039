"""A negative log-likelihood written by hand, without its minus."""

import torch
from torch import nn

FINDING = "missing-minus"


def step(*, sign):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    x, labels = torch.randn(16, 6), torch.randint(0, 3, (16,))
    log_probabilities = model(x).log_softmax(dim=1)
    likelihood = log_probabilities.gather(1, labels[:, None]).mean()
    return sign * likelihood


def broken():
    return step(sign=1)


def healthy():
    return step(sign=-1)
