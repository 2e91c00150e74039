"""A gate is made by comparing scores with zero: the comparison gives booleans, and the gate no gradient."""

import torch
from torch import nn

FINDING = "step-function"


class Gated(nn.Module):
    def __init__(self, *, hard):
        super().__init__()
        self.score = nn.Linear(5, 8)
        self.value = nn.Linear(5, 8)
        self.out = nn.Linear(8, 1)
        self.hard = hard

    def forward(self, x):
        score = self.score(x)
        gate = (score > 0).float() if self.hard else torch.sigmoid(score)
        return self.out(gate * self.value(x))


def step(*, hard):
    torch.manual_seed(0)
    x, target = torch.randn(16, 5), torch.randn(16, 1)
    return nn.functional.mse_loss(Gated(hard=hard)(x), target)


def broken():
    return step(hard=True)


def healthy():
    return step(hard=False)
