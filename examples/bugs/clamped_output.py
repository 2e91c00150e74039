"""Targets from 50 to 100 are predicted through a clamp to [0, 1], left over from when they were shares."""

import torch
from torch import nn

FINDING = "clamped"


def step(*, limit):
    torch.manual_seed(0)
    model = nn.Linear(4, 1)
    nn.init.constant_(model.bias, 60.0)
    x, target = torch.randn(16, 4), 50 + 50 * torch.rand(16, 1)
    return model, x, lambda out: nn.functional.mse_loss(out.clamp(0, limit), target)


def broken():
    return step(limit=1.0)


def healthy():
    return step(limit=100.0)
