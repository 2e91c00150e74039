"""The diagonal is masked by writing into a copy of the weight that was taken with `.data`."""

import torch
from torch import nn

FINDING = "detached"


class NoSelfLoops(nn.Module):
    def __init__(self, *, copy):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 5) / 5**0.5)
        self.head = nn.Linear(5, 1)
        self.copy = copy

    def forward(self, x):
        if self.copy:
            weight = self.weight.data.clone()
            weight.fill_diagonal_(0)
        else:
            weight = self.weight * (1 - torch.eye(5))
        return self.head(torch.tanh(x @ weight))


def step(*, copy):
    torch.manual_seed(0)
    x, target = torch.randn(16, 5), torch.randn(16, 1)
    return nn.functional.mse_loss(NoSelfLoops(copy=copy)(x), target)


def broken():
    return step(copy=True)


def healthy():
    return step(copy=False)
