"""Predicted durations are cast to integers in the middle of the model."""

import torch
from torch import nn

FINDING = "integer-cast"


class Durations(nn.Module):
    def __init__(self, *, cast):
        super().__init__()
        self.durations = nn.Linear(4, 6)
        self.cost = nn.Linear(6, 1)
        self.cast = cast

    def forward(self, x):
        durations = nn.functional.softplus(self.durations(x)) * 10
        if self.cast:
            durations = durations.int().float()
        return self.cost(durations)


def step(*, cast):
    torch.manual_seed(0)
    x, target = torch.randn(16, 4), torch.randn(16, 1)
    return nn.functional.mse_loss(Durations(cast=cast)(x), target)


def broken():
    return step(cast=True)


def healthy():
    return step(cast=False)
