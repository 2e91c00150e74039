"""Activations are rounded to a grid: round is flat, so nothing but zeros flows back. The twin goes straight through."""

import torch
from torch import nn

FINDING = "step-function"


class Quantised(nn.Module):
    def __init__(self, *, straight_through):
        super().__init__()
        self.inner = nn.Linear(4, 8)
        self.outer = nn.Linear(8, 1)
        self.straight_through = straight_through

    def forward(self, x):
        hidden = torch.tanh(self.inner(x)) * 4
        rounded = hidden.round()
        if self.straight_through:
            rounded = hidden + (rounded - hidden).detach()
        return self.outer(rounded)


def step(*, straight_through):
    torch.manual_seed(0)
    x, target = torch.randn(16, 4), torch.randn(16, 1)
    return nn.functional.mse_loss(Quantised(straight_through=straight_through)(x), target)


def broken():
    return step(straight_through=False)


def healthy():
    return step(straight_through=True)
