"""Each weight starts at the same number: the 16 units of a hidden layer are one unit, 16 times."""

import torch
from torch import nn

FINDING = "symmetric-weights"


def step(initialise):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    for layer in model[::2]:
        initialise(layer.weight)
        nn.init.zeros_(layer.bias)
    y = torch.randn(16, 1)
    return model, torch.randn(16, 6), lambda out: nn.functional.mse_loss(out, y)


def broken():
    return step(lambda weight: nn.init.constant_(weight, 0.1))


def healthy():
    return step(nn.init.xavier_uniform_)
