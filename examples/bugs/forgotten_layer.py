"""A layer is made in `__init__` and forgotten in `forward`."""

import torch
from torch import nn

FINDING = "unused-parameter"


class Residual(nn.Module):
    def __init__(self, *, forget):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.head = nn.Linear(6, 1)
        self.forget = forget

    def forward(self, x):
        hidden = x + torch.tanh(self.first(x))
        second = self.first if self.forget else self.second  # the line was copied, and not changed
        return self.head(hidden + torch.tanh(second(hidden)))


def step(*, forget):
    torch.manual_seed(0)
    x, target = torch.randn(16, 6), torch.randn(16, 1)
    return nn.functional.mse_loss(Residual(forget=forget)(x), target)


def broken():
    return step(forget=True)


def healthy():
    return step(forget=False)
