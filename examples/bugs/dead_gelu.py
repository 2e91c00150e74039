"""GELU units pushed far below zero by a step that was too long: they are as dead as those of a ReLU."""

import torch
from torch import nn

FINDING = "dead-units"


def step(*, bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 64), nn.GELU(), nn.Linear(64, 3))
    nn.init.constant_(model[0].bias, bias)
    labels = torch.randint(0, 3, (16,))
    return model, torch.randn(16, 6), lambda out: nn.functional.cross_entropy(out, labels)


def broken():
    return step(bias=-40.0)


def healthy():
    return step(bias=0.0)
