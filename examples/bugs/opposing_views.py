"""Two views of a sample should be alike, but the difference of the means is minimised, not the distance."""

import torch
from torch import nn

FINDING = "opposing-uses"


def step(*, distance):
    torch.manual_seed(0)
    encoder = nn.Linear(16, 8, bias=False)
    x = torch.randn(32, 16)
    first, second = encoder(x), encoder(x + 0.01 * torch.randn(32, 16))
    if distance:
        return -nn.functional.cosine_similarity(first, second.roll(1, 0)).mean()
    return first.mean() - second.mean()


def broken():
    return step(distance=False)


def healthy():
    return step(distance=True)
