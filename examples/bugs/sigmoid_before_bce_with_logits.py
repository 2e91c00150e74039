"""The model ends in a sigmoid, and BCEWithLogitsLoss applies it again."""

import torch
from torch import nn

FINDING = "sigmoid-before-logits"


def step(*, criterion):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1), nn.Sigmoid())
    x, labels = torch.randn(16, 6), torch.randint(0, 2, (16, 1)).float()
    return model, x, lambda out: criterion(out, labels)


def broken():
    return step(criterion=nn.BCEWithLogitsLoss())


def healthy():
    return step(criterion=nn.BCELoss())
