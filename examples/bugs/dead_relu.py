"""After one far too large step the biases are so negative that no unit fires for any sample."""

import torch
from torch import nn

FINDING = "dead-relu"


def step(*, bias):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    nn.init.constant_(model[0].bias, bias)
    x, target = torch.randn(32, 8), torch.randn(32, 1)
    return model, x, lambda out: nn.functional.mse_loss(out, target)


def broken():
    return step(bias=-30.0)


def healthy():
    return step(bias=0.0)
