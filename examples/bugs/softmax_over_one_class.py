"""Binary classification with one output and a softmax over it, which is always 1."""

import torch
from torch import nn

FINDING = "zero-gradient"


def step(*, function):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    x, labels = torch.randn(16, 6), torch.randint(0, 2, (16, 1)).float()
    return model, x, lambda out: nn.functional.mse_loss(function(out), labels)


def broken():
    return step(function=lambda out: out.softmax(dim=1))


def healthy():
    return step(function=torch.sigmoid)
