"""The angle between unit vectors by acos of their product, which rounding takes beyond 1."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(*, limit):
    torch.manual_seed(0)
    model = nn.Linear(6, 8)
    x = torch.randn(64, 6)
    directions = nn.functional.normalize(model(x), dim=1)
    cosines = directions @ directions.T
    if limit:
        cosines = cosines.clamp(-1 + 1e-6, 1 - 1e-6)
    return cosines.acos().mean()


def broken():
    return step(limit=False)


def healthy():
    return step(limit=True)
