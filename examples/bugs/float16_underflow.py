"""Half precision without loss scaling: the cotangents of a mean over many elements are too small for float16."""

import torch
from torch import nn

FINDING = "underflow"


def step(*, loss_scale):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64)).half()
    x, target = torch.randn(256, 32).half(), torch.randn(256, 64)
    return nn.functional.mse_loss(model(x).float(), target) * loss_scale


def broken():
    return step(loss_scale=1.0)


def healthy():
    return step(loss_scale=2.0**12)
