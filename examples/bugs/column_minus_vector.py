"""Predictions (N, 1) minus targets (N,): an N × N matrix, whose mean is a loss that cannot become small."""

import torch
from torch import nn

FINDING = "broadcast-pairs"


def step(*, squeeze):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x, target = torch.randn(16, 4), torch.randn(16)
    prediction = model(x)
    if squeeze:
        prediction = prediction.squeeze(1)
    return (prediction - target).square().mean()


def broken():
    return step(squeeze=False)


def healthy():
    return step(squeeze=True)
