"""A transformer whose blocks hand on what attention and layers make, without adding it to what they read."""

import torch
from torch import nn

FINDING = "rank-collapse"


class Block(nn.Module):
    def __init__(self, width, *, residual):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.layers = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.residual = residual

    def forward(self, x):
        y = self.before(x)
        y = self.attention(y, y, y, need_weights=False)[0]
        x = x + y if self.residual else y
        y = self.layers(self.between(x))
        return x + y if self.residual else y


def step(*, residual):
    torch.manual_seed(0)
    model = nn.Sequential(*[Block(32, residual=residual) for _ in range(8)], nn.Linear(32, 5))
    x, labels = torch.randn(4, 10, 32), torch.randint(0, 5, (4,))
    return nn.functional.cross_entropy(model(x).mean(1), labels)


def broken():
    return step(residual=False)


def healthy():
    return step(residual=True)
