"""The scores of an attention are multiplied by 20, where 1/√d was meant: each query picks one key."""

import torch
from torch import nn

FINDING = "saturated"


class Attention(nn.Module):
    def __init__(self, *, scale):
        super().__init__()
        self.query = nn.Linear(64, 64)
        self.key = nn.Linear(64, 64)
        self.value = nn.Linear(64, 64)
        self.scale = scale

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(1, 2) * self.scale
        return scores.softmax(dim=2) @ self.value(x)


def step(*, scale):
    torch.manual_seed(0)
    x, target = torch.randn(4, 12, 64), torch.randn(4, 12, 64)
    return nn.functional.mse_loss(Attention(scale=scale)(x), target)


def broken():
    return step(scale=20.0)


def healthy():
    return step(scale=64**-0.5)
