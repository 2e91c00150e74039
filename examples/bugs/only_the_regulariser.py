"""A detach that was meant for a log line stays in the loss; weight decay still gives each parameter a gradient."""

import torch
from torch import nn

FINDING = "cut-from-loss"


def step(*, cut):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    x, y = torch.randn(32, 6), torch.randn(32, 1)
    prediction = net(x).detach() if cut else net(x)
    decay = sum(parameter.square().sum() for parameter in net.parameters())
    return nn.functional.mse_loss(prediction, y) + 1e-4 * decay


def broken():
    return step(cut=True)


def healthy():
    return step(cut=False)
