"""Layers in a Python list are unknown to the module: `model.parameters()`, and so the optimiser, does not have them."""

import torch
from torch import nn

FINDING = "unregistered-parameter"


class Stack(nn.Module):
    def __init__(self, *, plain_list):
        super().__init__()
        layers = [nn.Linear(6, 6) for _ in range(3)]
        self.layers = layers if plain_list else nn.ModuleList(layers)
        self.head = nn.Linear(6, 1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.tanh(layer(x))
        return self.head(x)


def step(*, plain_list):
    torch.manual_seed(0)
    x, target = torch.randn(16, 6), torch.randn(16, 1)
    return nn.functional.mse_loss(Stack(plain_list=plain_list)(x), target)


def broken():
    return step(plain_list=True)


def healthy():
    return step(plain_list=False)
