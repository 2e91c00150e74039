"""`nn.Parameter(...)` in forward makes a new leaf each time: the module's own parameter gets no gradient."""

import torch
from torch import nn

FINDING = "leaf-replaced"


class Scaled(nn.Module):
    def __init__(self, *, wrap):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4) / 2)
        self.head = nn.Linear(4, 1)
        self.wrap = wrap

    def forward(self, x):
        weight = self.weight / self.weight.norm()
        if self.wrap:
            weight = nn.Parameter(weight)
        return self.head(torch.tanh(x @ weight))


def step(*, wrap):
    torch.manual_seed(0)
    x, target = torch.randn(16, 4), torch.randn(16, 1)
    return nn.functional.mse_loss(Scaled(wrap=wrap)(x), target)


def broken():
    return step(wrap=True)


def healthy():
    return step(wrap=False)
