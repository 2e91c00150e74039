"""A policy that ends in softmax, whose probabilities `Categorical` gets for logits."""

import torch
from torch import nn
from torch.distributions import Categorical

FINDING = "double-softmax"


def step(*, softmax):
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))
    actions, advantages = torch.randint(0, 3, (16,)), torch.randn(16)
    logits = policy(torch.randn(16, 6))
    if softmax:
        logits = logits.softmax(-1)
    return -(Categorical(logits=logits).log_prob(actions) * advantages).mean()


def broken():
    return step(softmax=True)


def healthy():
    return step(softmax=False)
