"""The variance as E[x²] − E[x]²: with a mean of 3000 and a deviation of 1, float32 keeps no digit of it."""

import torch
from torch import nn

FINDING = "cancellation"


class Normalised(nn.Module):
    def __init__(self, *, by_difference):
        super().__init__()
        self.layer = nn.Linear(4, 8)
        nn.init.constant_(self.layer.bias, 3000.0)
        self.head = nn.Linear(8, 1)
        self.by_difference = by_difference

    def forward(self, x):
        hidden = self.layer(x)
        mean = hidden.mean(dim=0)
        if self.by_difference:
            variance = hidden.square().mean(dim=0) - mean.square()
        else:
            variance = (hidden - mean).square().mean(dim=0)
        return self.head((hidden - mean) / (variance.abs() + 1e-2).sqrt())


def step(*, by_difference):
    torch.manual_seed(0)
    x, target = torch.randn(64, 4), torch.randn(64, 1)
    return nn.functional.mse_loss(Normalised(by_difference=by_difference)(x), target)


def broken():
    return step(by_difference=True)


def healthy():
    return step(by_difference=False)
