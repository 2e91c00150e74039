"""The model ends in softmax, and cross_entropy applies it again."""

import torch
from torch import nn

FINDING = "double-softmax"


def step(*, softmax):
    torch.manual_seed(0)
    layers = [nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)]
    model = nn.Sequential(*layers, nn.Softmax(dim=1)) if softmax else nn.Sequential(*layers)
    x, labels = torch.randn(16, 6), torch.randint(0, 3, (16,))
    return model, x, lambda out: nn.functional.cross_entropy(out, labels)


def broken():
    return step(softmax=True)


def healthy():
    return step(softmax=False)
