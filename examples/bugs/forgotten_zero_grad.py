"""A training loop without `optimizer.zero_grad()`: each step adds the gradients of all steps before it."""

import torch
from torch import nn

FINDING = "earlier-gradient"


def step(*, zero):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, target = torch.randn(16, 4), torch.randn(16, 1)
    for _ in range(3):
        if zero:
            optimizer.zero_grad()
        nn.functional.mse_loss(model(x), target).backward()
        optimizer.step()
    if zero:
        optimizer.zero_grad()
    return model, x, lambda out: nn.functional.mse_loss(out, target)


def broken():
    return step(zero=False)


def healthy():
    return step(zero=True)
