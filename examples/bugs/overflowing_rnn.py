"""An RNN with relu whose state grows at each step until float32 ends; the first infinity is far from the cause."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(*, scale):
    torch.manual_seed(0)
    cell, head = nn.RNNCell(4, 16, nonlinearity="relu"), nn.Linear(16, 1)
    nn.init.orthogonal_(cell.weight_hh, gain=scale)
    state = torch.zeros(8, 16)
    for x in torch.randn(40, 8, 4):
        state = cell(x, state)
    return (head(state) - 1).pow(2).mean()


def broken():
    return step(scale=6.0)


def healthy():
    return step(scale=1.0)
