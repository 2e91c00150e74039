"""A variational autoencoder's code is detached in front of the decoder: only the divergence still trains the encoder."""

import torch
from torch import nn

FINDING = "detached"


def step(*, detach):
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(12, 8), nn.Linear(4, 12)
    x = torch.randn(32, 12)
    mean, log_variance = encoder(x).chunk(2, dim=1)
    code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
    if detach:
        code = code.detach()  # left over from looking at what the decoder does alone
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()
    return nn.functional.mse_loss(decoder(code), x) + 0.1 * divergence


def broken():
    return step(detach=True)


def healthy():
    return step(detach=False)
