"""All weights start at zero, as in a linear model: in a net with hidden layers nothing but the last bias learns."""

import torch
from torch import nn

FINDING = "symmetric-weights"


def step(initialise):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    for layer in model[::2]:
        initialise(layer.weight)
        nn.init.zeros_(layer.bias)
    labels = torch.randint(0, 3, (16,))
    return model, torch.randn(16, 6), lambda out: nn.functional.cross_entropy(out, labels)


def broken():
    return step(nn.init.zeros_)


def healthy():
    return step(nn.init.kaiming_uniform_)
