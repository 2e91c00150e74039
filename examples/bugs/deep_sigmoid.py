"""Twelve sigmoid layers: each passes on a seventh of the gradient, and the first layer gets none to speak of."""

import torch
from torch import nn

FINDING = "vanishing-gradient"


class Deep(nn.Module):
    def __init__(self, *, residual):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(12))
        self.head = nn.Linear(16, 1)
        self.residual = residual

    def forward(self, x):
        for layer in self.layers:
            x = x + torch.tanh(layer(x)) / 4 if self.residual else torch.sigmoid(layer(x))
        return self.head(x)


def step(*, residual):
    torch.manual_seed(0)
    x, target = torch.randn(32, 16), torch.randn(32, 1)
    return nn.functional.mse_loss(Deep(residual=residual)(x), target)


def broken():
    return step(residual=False)


def healthy():
    return step(residual=True)
