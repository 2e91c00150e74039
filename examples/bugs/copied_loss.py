"""A loss "does not require grad", so a copy of its number is made that does: backward() runs, and nothing learns."""

import torch
from torch import nn

FINDING = "leaf-replaced"


def step(*, as_copy):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x, y = torch.randn(16, 4), torch.randn(16, 1)

    def loss(prediction):
        error = nn.functional.mse_loss(prediction, y)
        return torch.tensor(error.item(), requires_grad=True) if as_copy else error

    return model, x, loss


def broken():
    return step(as_copy=True)


def healthy():
    return step(as_copy=False)
