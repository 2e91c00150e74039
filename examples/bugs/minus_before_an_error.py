"""A regression whose loss has a minus, as a reward or a log-likelihood would have: training makes the error larger."""

import torch
from torch import nn

FINDING = "negated-loss"


def step(*, minus):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 2))
    x, y = torch.randn(32, 6), torch.randn(32, 2)
    error = ((model(x) - y) ** 2).mean()
    return -error if minus else error


def broken():
    return step(minus=True)


def healthy():
    return step(minus=False)
