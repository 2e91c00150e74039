"""log(softmax(x) + 1e-9) in place of log_softmax."""

import torch
from torch import nn

FINDING = "log-of-softmax"


def step(*, stable):
    torch.manual_seed(0)
    policy = nn.Linear(6, 4)
    states, actions, advantages = torch.randn(16, 6), torch.randint(0, 4, (16, 1)), torch.randn(16)
    logits = policy(states)
    log_probabilities = logits.log_softmax(dim=1) if stable else torch.log(logits.softmax(dim=1) + 1e-9)
    return -(log_probabilities.gather(1, actions).squeeze(1) * advantages).mean()


def broken():
    return step(stable=False)


def healthy():
    return step(stable=True)
