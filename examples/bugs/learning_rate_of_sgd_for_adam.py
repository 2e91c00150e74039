"""A learning rate that was right for SGD is left in when Adam takes over: its first update moves every number by 0.1."""

import torch
from torch import nn

FINDING = "learning-rate"


def regressor():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))


model, twin = regressor(), regressor()
adam = torch.optim.Adam(model.parameters(), lr=0.1)
sgd = torch.optim.SGD(twin.parameters(), lr=0.1)


def step(net):
    torch.manual_seed(1)
    x = torch.randn(64, 20)
    return (net(x) - x.sum(1, keepdim=True)).square().mean()


def broken():
    return step(model)


def healthy():
    return step(twin)
