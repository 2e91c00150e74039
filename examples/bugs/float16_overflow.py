"""A sum of squares in float16 passes 65504, the largest number there is."""

import torch
from torch import nn

FINDING = "overflow"


def step(*, wide):
    torch.manual_seed(0)
    layer = nn.Linear(64, 64).half()
    hidden = layer(100 * torch.randn(4, 64).half())
    energy = (hidden.float() if wide else hidden).square().sum(dim=1)
    return energy.log().mean() * 2.0**12  # scaled, so that the gradient does not underflow


def broken():
    return step(wide=False)


def healthy():
    return step(wide=True)
