"""The ratio of new to old probabilities of a policy, the old ones being the new ones: it is 1, whatever the weights are."""

import torch
from torch import nn
from torch.distributions import Categorical

FINDING = "zero-gradient"


def step(*, detach):
    torch.manual_seed(0)
    policy = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    states, advantages = torch.randn(64, 4), torch.randn(64)
    choice = Categorical(logits=policy(states))
    new = choice.log_prob(choice.sample())
    old = new.detach() if detach else new
    ratio = (new - old).exp()
    clipped = ratio.clamp(0.8, 1.2)
    return -torch.min(ratio * advantages, clipped * advantages).mean()


def broken():
    return step(detach=False)


def healthy():
    return step(detach=True)
