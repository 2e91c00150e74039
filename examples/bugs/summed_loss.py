"""The loss is summed over the batch: twice the batch, twice the step."""

import torch
from torch import nn

FINDING = "sum-reduction"


def step(*, reduction):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x, target = torch.randn(64, 4), torch.randn(64, 1)
    return model, x, lambda out: nn.functional.mse_loss(out, target, reduction=reduction)


def broken():
    return step(reduction="sum")


def healthy():
    return step(reduction="mean")
