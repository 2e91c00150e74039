"""A linear recurrence whose weights have a spectral radius above 1: the gradient grows at each of 40 steps."""

import torch
from torch import nn

FINDING = "exploding-gradient"


class Recurrent(nn.Module):
    def __init__(self, *, scale):
        super().__init__()
        self.enter = nn.Linear(4, 16)
        self.steps = nn.ModuleList(nn.Linear(16, 16, bias=False) for _ in range(40))
        self.head = nn.Linear(16, 1)
        for layer in self.steps:
            nn.init.orthogonal_(layer.weight, gain=scale)

    def forward(self, x):
        state = self.enter(x)
        for layer in self.steps:
            state = layer(state)
        return self.head(state)


def step(*, scale):
    torch.manual_seed(0)
    model = Recurrent(scale=scale)
    return model(torch.randn(8, 4)).square().mean()


def broken():
    return step(scale=2.5)


def healthy():
    return step(scale=1.0)
