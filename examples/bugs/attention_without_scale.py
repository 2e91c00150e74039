"""Dot-product attention without 1/√d: softmax picks one key per query, and its local partials vanish."""

import torch
from torch import nn

FINDING = "saturated"


class Attention(nn.Module):
    def __init__(self, *, scaled):
        super().__init__()
        self.query = nn.Linear(512, 512)
        self.key = nn.Linear(512, 512)
        self.scaled = scaled

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        if self.scaled:
            scores = scores / 512**0.5
        return scores.softmax(dim=2) @ x


def step(*, scaled):
    torch.manual_seed(0)
    x, target = 3 * torch.randn(2, 12, 512), torch.randn(2, 12, 512)
    return nn.functional.mse_loss(Attention(scaled=scaled)(x), target)


def broken():
    return step(scaled=False)


def healthy():
    return step(scaled=True)
