"""A custom autograd.Function whose backward forgot a factor."""

import torch
from torch import nn

FINDING = "wrong-backward"


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, forget):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        ctx.forget = forget
        return x * s

    @staticmethod
    def backward(ctx, cotangent):
        x, s = ctx.saved_tensors
        return cotangent * (s + (1 if ctx.forget else x) * s * (1 - s)), None


def step(*, forget):
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double()
    x, target = torch.randn(4, 3).double(), torch.randn(4, 2).double()
    return nn.functional.mse_loss(Swish.apply(layer(x), forget), target)


def broken():
    return step(forget=True)


def healthy():
    return step(forget=False)
