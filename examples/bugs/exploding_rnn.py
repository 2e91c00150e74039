"""An RNN cell with relu whose recurrent weight is drawn too large: one module, called 40 times, and no other layer."""

import torch
from torch import nn

FINDING = "exploding-gradient"


def step(*, scale):
    torch.manual_seed(0)
    cell = nn.RNNCell(4, 16, nonlinearity="relu")
    nn.init.orthogonal_(cell.weight_hh, gain=scale)
    state = torch.zeros(8, 16)
    for x in torch.randn(40, 8, 4):
        state = cell(x, state)
    return (state.mean(dim=1) - 1).square().mean()


def broken():
    return step(scale=2.5)


def healthy():
    return step(scale=1.0)
