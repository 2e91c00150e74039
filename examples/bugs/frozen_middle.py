"""A layer that was frozen for an experiment, and never thawed, lies between layers that train."""

import torch
from torch import nn

FINDING = "frozen-layer"


def step(frozen):
    torch.manual_seed(0)
    layers = [layer for _ in range(5) for layer in (nn.Linear(8, 8), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(8, 1))
    for place in frozen:
        model[place].requires_grad_(False)
    y = torch.randn(16, 1)
    return model, torch.randn(16, 8), lambda out: nn.functional.mse_loss(out, y)


def broken():
    return step([4])


def healthy():
    return step([0, 2])
