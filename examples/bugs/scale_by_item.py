"""Activations are divided by their largest one, read with `.item()`: the gradient takes it for a constant."""

import torch
from torch import nn

FINDING = "number-read"


class Scaled(nn.Module):
    def __init__(self, *, as_number):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.out = nn.Linear(8, 1)
        self.as_number = as_number

    def forward(self, x):
        h = torch.tanh(self.hidden(x))
        largest = h.abs().max()
        return self.out(h / (largest.item() if self.as_number else largest))


def step(*, as_number):
    torch.manual_seed(0)
    x, target = torch.randn(16, 4), torch.randn(16, 1)
    return nn.functional.mse_loss(Scaled(as_number=as_number)(x), target)


def broken():
    return step(as_number=True)


def healthy():
    return step(as_number=False)
