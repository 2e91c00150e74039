"""The optimizer is made before the last layer is replaced: it holds the old one, and the new one never moves."""

import torch
from torch import nn

FINDING = "not-in-optimizer"


def classifier():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 10))


model = classifier()
too_early = torch.optim.Adam(model.parameters(), lr=1e-3)
model[2] = nn.Linear(16, 3)

twin = classifier()
twin[2] = nn.Linear(16, 3)
optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)


def step(net):
    x, labels = torch.randn(32, 6), torch.randint(0, 3, (32,))
    return nn.functional.cross_entropy(net(x), labels)


def broken():
    return step(model)


def healthy():
    return step(twin)
