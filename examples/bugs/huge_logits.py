"""Features in thousands go into a linear classifier: it is sure of each sample from the start, and mostly wrong."""

import torch
from torch import nn

FINDING = "saturated"


def step(*, standardise):
    torch.manual_seed(0)
    model = nn.Linear(4, 5)
    features = 5000 * torch.randn(64, 4) + 2000
    if standardise:
        features = (features - features.mean(dim=0)) / features.std(dim=0)
    return nn.functional.cross_entropy(model(features), torch.randint(0, 5, (64,)))


def broken():
    return step(standardise=False)


def healthy():
    return step(standardise=True)
