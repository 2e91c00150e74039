"""log_softmax over dimension 0: the samples of a batch compete, not the classes."""

import torch
from torch import nn

FINDING = "softmax-over-batch"


def step(*, dim):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3), nn.LogSoftmax(dim=dim))
    labels = torch.randint(0, 3, (16,))
    return model, torch.randn(16, 6), lambda out: nn.functional.nll_loss(out, labels)


def broken():
    return step(dim=0)


def healthy():
    return step(dim=1)
