"""A variational autoencoder draws its code with sample() in place of rsample(): the reconstruction trains no encoder."""

import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

FINDING = "no-grad"


def step(*, reparametrised):
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(12, 8), nn.Linear(4, 12)
    x = torch.randn(32, 12)
    mean, log_std = encoder(x).chunk(2, dim=1)
    code = Normal(mean, log_std.exp())
    z = code.rsample() if reparametrised else code.sample()
    divergence = kl_divergence(code, Normal(0.0, 1.0)).sum(dim=1).mean()
    return nn.functional.mse_loss(decoder(z), x) + 0.1 * divergence


def broken():
    return step(reparametrised=False)


def healthy():
    return step(reparametrised=True)
