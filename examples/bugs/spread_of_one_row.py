"""Rewards are standardised over a batch, and the last batch of the epoch has one row."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(rows):
    torch.manual_seed(0)
    model = nn.Linear(6, 8)
    features = model(torch.randn(rows, 6))
    standardised = (features - features.mean(dim=0)) / (features.std(dim=0) + 1e-5)
    return nn.functional.smooth_l1_loss(standardised, torch.randn(rows, 8))


def broken():
    return step(rows=1)


def healthy():
    return step(rows=32)
