"""`model.eval()` was called for a first validation, and `model.train()` never: batch norm normalises nothing."""

import torch
from torch import nn

FINDING = "batch-norm-in-eval"


def step(*, train):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1)).train(train)
    x, target = torch.randn(32, 6), torch.randn(32, 1)
    return model, x, lambda out: nn.functional.mse_loss(out, target)


def broken():
    return step(train=False)


def healthy():
    return step(train=True)
