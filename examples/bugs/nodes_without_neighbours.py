"""The mean over the neighbours of each node, where some nodes have none: 0 / 0."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(*, clamp):
    torch.manual_seed(0)
    layer = nn.Linear(4, 8)
    sources, targets = torch.randint(0, 10, (30,)), torch.randint(0, 7, (30,))
    received = torch.zeros(10, 8).index_add(0, targets, layer(torch.randn(10, 4))[sources])
    degree = torch.zeros(10).index_add(0, targets, torch.ones(30)).unsqueeze(1)
    if clamp:
        degree = degree.clamp(min=1)
    return (received / degree).square().mean()


def broken():
    return step(clamp=False)


def healthy():
    return step(clamp=True)
