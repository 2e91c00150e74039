"""nll_loss is given logits: without log_softmax the loss falls without bound, and nothing is learned."""

import torch
from torch import nn

FINDING = "not-log-probabilities"


def step(*, logarithms):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    x, labels = torch.randn(16, 6), torch.randint(0, 3, (16,))
    scores = model(x)
    if logarithms:
        scores = scores.log_softmax(dim=1)
    return nn.functional.nll_loss(scores, labels)


def broken():
    return step(logarithms=False)


def healthy():
    return step(logarithms=True)
