"""A router picks its expert by argmax: the choice has no derivative, so the router never learns."""

import torch
from torch import nn

FINDING = "step-function"


class Experts(nn.Module):
    def __init__(self, *, hard):
        super().__init__()
        self.router = nn.Linear(6, 4)
        self.experts = nn.Parameter(torch.randn(4, 6) / 6**0.5)
        self.hard = hard

    def forward(self, x):
        scores = self.router(x)
        chosen = nn.functional.one_hot(scores.argmax(dim=1), 4).float()
        weights = chosen if self.hard else scores.softmax(dim=1)
        return (weights @ self.experts * x).sum(dim=1)


def step(*, hard):
    torch.manual_seed(0)
    x, target = torch.randn(32, 6), torch.randn(32)
    return nn.functional.mse_loss(Experts(hard=hard)(x), target)


def broken():
    return step(hard=True)


def healthy():
    return step(hard=False)
