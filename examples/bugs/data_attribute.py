"""`.data` takes the values out of the graph, as it did in torch 0.3."""

import torch
from torch import nn

FINDING = "detached"


class Gated(nn.Module):
    def __init__(self, *, use_data):
        super().__init__()
        self.gate = nn.Linear(4, 4)
        self.value = nn.Linear(4, 4)
        self.use_data = use_data

    def forward(self, x):
        gate = torch.sigmoid(self.gate(x))
        return self.value(x) * (gate.data if self.use_data else gate)


def step(*, use_data):
    torch.manual_seed(0)
    x, target = torch.randn(16, 4), torch.randn(16, 4)
    return nn.functional.mse_loss(Gated(use_data=use_data)(x), target)


def broken():
    return step(use_data=True)


def healthy():
    return step(use_data=False)
