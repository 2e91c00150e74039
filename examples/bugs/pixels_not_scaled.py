"""Pixels from 0 to 255 go straight into a tanh layer, which saturates."""

import torch
from torch import nn

FINDING = "saturated"


def step(*, scale):
    torch.manual_seed(0)
    images = torch.randint(0, 256, (16, 1, 12, 12)).float() * scale
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 32), nn.Tanh(), nn.Linear(32, 10))
    labels = torch.randint(0, 10, (16,))
    return model, images, lambda out: nn.functional.cross_entropy(out, labels)


def broken():
    return step(scale=1.0)


def healthy():
    return step(scale=1 / 255)
