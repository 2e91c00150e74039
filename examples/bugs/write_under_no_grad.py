"""Activations are clipped in place under `no_grad`: the loss feels the clipping, the gradient does not know of it."""

import torch
from torch import nn

FINDING = "unseen-write"


class Clipped(nn.Module):
    def __init__(self, *, in_place):
        super().__init__()
        self.hidden = nn.Linear(4, 8)
        self.out = nn.Linear(8, 1)
        self.in_place = in_place

    def forward(self, x):
        h = torch.tanh(self.hidden(x)) * 2.0
        if self.in_place:
            with torch.no_grad():
                h.clamp_(-1.0, 1.0)
        else:
            h = h.clamp(-1.0, 1.0)
        return self.out(torch.sin(h))


def step(*, in_place):
    torch.manual_seed(0)
    x, target = torch.randn(16, 4), torch.randn(16, 1)
    return nn.functional.mse_loss(Clipped(in_place=in_place)(x), target)


def broken():
    return step(in_place=True)


def healthy():
    return step(in_place=False)
