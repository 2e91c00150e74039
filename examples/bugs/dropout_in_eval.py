"""`F.dropout` has training=True unless it is told, so it also drops in eval mode."""

import torch
from torch import nn

FINDING = "dropout-in-eval"


class Net(nn.Module):
    def __init__(self, *, told):
        super().__init__()
        self.inner = nn.Linear(6, 32)
        self.outer = nn.Linear(32, 1)
        self.told = told

    def forward(self, x):
        hidden = torch.tanh(self.inner(x))
        hidden = nn.functional.dropout(hidden, 0.5, self.training) if self.told else nn.functional.dropout(hidden, 0.5)
        return self.outer(hidden)


def step(*, told):
    torch.manual_seed(0)
    model = Net(told=told).eval()
    x, target = torch.randn(16, 6), torch.randn(16, 1)
    return model, x, lambda out: nn.functional.mse_loss(out, target)


def broken():
    return step(told=False)


def healthy():
    return step(told=True)
