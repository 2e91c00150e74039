"""An RNN that reads 60 steps and is asked at the end: its weights are so small that the first ones are forgotten."""

import torch
from torch import nn

FINDING = "vanishing-gradient"


def step(*, scale):
    torch.manual_seed(0)
    rnn, head = nn.RNN(4, 16), nn.Linear(16, 2)
    nn.init.orthogonal_(rnn.weight_hh_l0, gain=scale)
    x, labels = 0.1 * torch.randn(60, 8, 4), torch.randint(0, 2, (8,))
    states, _ = rnn(x)
    return nn.functional.cross_entropy(head(states[-1]), labels)


def broken():
    return step(scale=0.4)


def healthy():
    return step(scale=1.0)
