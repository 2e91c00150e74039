"""The cross-entropy joins the loss as a number: its value is right, but only the weight decay beside it has a gradient."""

import torch
from torch import nn

FINDING = "cut-from-loss"
history = []


def step(*, as_number):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    x, labels = torch.randn(32, 6), torch.randint(0, 3, (32,))
    fit = nn.functional.cross_entropy(net(x), labels)
    history.append(fit.item())
    decay = sum(parameter.square().sum() for parameter in net.parameters())
    return (fit.item() if as_number else fit) + 1e-3 * decay


def broken():
    return step(as_number=True)


def healthy():
    return step(as_number=False)
