"""A network predicts mean and spread, and the log-density of what was measured is minimised: its minus was forgotten."""

import torch
from torch import nn
from torch.distributions import Normal

FINDING = "missing-minus"


def step(*, sign):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 20), nn.Tanh(), nn.Linear(20, 2))
    x, measured = torch.randn(64, 3), torch.randn(64)
    mean, log_spread = model(x).unbind(dim=1)
    return sign * Normal(mean, log_spread.exp()).log_prob(measured).mean()


def broken():
    return step(sign=1)


def healthy():
    return step(sign=-1)
