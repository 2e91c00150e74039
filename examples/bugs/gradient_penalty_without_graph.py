"""A critic with a gradient penalty, whose gradients were taken without `create_graph=True`: the penalty is a constant."""

import torch
from torch import nn

FINDING = "no-grad"


def step(*, create_graph):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(6, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1))
    real, fake = torch.randn(16, 6), torch.randn(16, 6)
    share = torch.rand(16, 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    scores = critic(between)
    (slopes,) = torch.autograd.grad(scores.sum(), between, create_graph=create_graph)
    penalty = ((slopes.norm(dim=1) - 1) ** 2).mean()
    return critic(fake).mean() - critic(real).mean() + 10 * penalty


def broken():
    return step(create_graph=False)


def healthy():
    return step(create_graph=True)
