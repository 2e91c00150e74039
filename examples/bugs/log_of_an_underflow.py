"""Confident logits: softmax underflows to 0, its log is −∞, and so is the loss."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(*, stable):
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    x, labels = torch.randn(8, 4) * 200, torch.randint(0, 3, (8,))
    logits = layer(x)
    log_probabilities = torch.log_softmax(logits, dim=1) if stable else torch.log(torch.softmax(logits, dim=1))
    return nn.functional.nll_loss(log_probabilities, labels)


def broken():
    return step(stable=False)


def healthy():
    return step(stable=True)
