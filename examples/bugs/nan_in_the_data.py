"""One missing measurement in the batch is NaN, and nothing filled it in."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(*, fill):
    torch.manual_seed(0)
    x, target = torch.randn(16, 4), torch.randn(16, 1)
    x[3, 1] = float("nan")
    if fill:
        x = x.nan_to_num(0.0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    return nn.functional.mse_loss(model(x), target)


def broken():
    return step(fill=False)


def healthy():
    return step(fill=True)
