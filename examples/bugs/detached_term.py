"""The second term of the loss is detached where it is added: its number falls by chance, and nothing learns from it."""

import torch
from torch import nn

FINDING = "detached"


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
        self.decoder = nn.Linear(16, 8)
        self.head = nn.Linear(16, 3)


def step(*, detach):
    torch.manual_seed(0)
    x, labels = torch.randn(16, 8), torch.randint(0, 3, (16,))
    model = Autoencoder()
    codes = model.encoder(x)
    classified = nn.functional.cross_entropy(model.head(codes), labels) + nn.functional.mse_loss(model.decoder(codes), x)
    sparse = codes.abs().mean()
    if detach:
        sparse = sparse.detach()  # left over from printing it
    return classified + 0.1 * sparse


def broken():
    return step(detach=True)


def healthy():
    return step(detach=False)
