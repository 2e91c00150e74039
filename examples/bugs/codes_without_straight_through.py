"""A VQ-VAE hands the codes themselves to its decoder: the encoder learns to be near them, and nothing of the pictures."""

import torch
from torch import nn
from torch.nn import functional as F

FINDING = "step-function"


class Autoencoder(nn.Module):
    def __init__(self, *, straight_through):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))
        self.codebook = nn.Embedding(32, 4)
        self.decoder = nn.Linear(4, 10)
        self.straight_through = straight_through

    def forward(self, x):
        z = self.encoder(x)
        codes = self.codebook(torch.cdist(z, self.codebook.weight).argmin(dim=1))
        distances = F.mse_loss(codes, z.detach()) + 0.25 * F.mse_loss(z, codes.detach())
        if self.straight_through:
            codes = z + (codes - z).detach()
        return F.mse_loss(self.decoder(codes), x) + distances


def step(*, straight_through):
    torch.manual_seed(0)
    return Autoencoder(straight_through=straight_through)(torch.randn(16, 10))


def broken():
    return step(straight_through=False)


def healthy():
    return step(straight_through=True)
