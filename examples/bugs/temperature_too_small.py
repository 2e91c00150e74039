"""A contrastive loss whose temperature is so small that each pair is found with certainty: the gradient is next to zero."""

import torch
from torch import nn
from torch.nn import functional as F

FINDING = "saturated"


def step(*, temperature):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 16))
    x = torch.randn(32, 20)
    first, second = (F.normalize(encoder(x + 0.05 * torch.randn(32, 20)), dim=1) for _ in range(2))
    return F.cross_entropy(first @ second.T / temperature, torch.arange(32))


def broken():
    return step(temperature=0.002)


def healthy():
    return step(temperature=0.1)
