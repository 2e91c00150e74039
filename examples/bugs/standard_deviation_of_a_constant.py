"""Features are divided by their standard deviation; one unit is constant over the batch, and 0/0 is NaN."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(*, epsilon):
    torch.manual_seed(0)
    x = torch.randn(16, 4)
    x[:, 2] = 1.0  # a feature that this batch does not vary
    scale = nn.Parameter(torch.ones(4))
    head = nn.Linear(4, 1)
    normalised = (x - x.mean(0)) / (x.std(0) + epsilon) * scale
    return head(normalised).square().mean()


def broken():
    return step(epsilon=0.0)


def healthy():
    return step(epsilon=1e-5)
