"""Returns that a loop writes into a vector one by one, minus the (N, 1) values of a critic."""

import torch
from torch import nn

FINDING = "broadcast-pairs"


def step(*, squeeze):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    states, rewards = torch.randn(16, 4), torch.randn(16)
    returns, after = torch.zeros(16), torch.zeros(())
    for time in reversed(range(16)):
        after = rewards[time] + 0.9 * after
        returns[time] = after
    values = critic(states)
    if squeeze:
        values = values.squeeze(1)
    return (returns - values).square().mean()


def broken():
    return step(squeeze=False)


def healthy():
    return step(squeeze=True)
