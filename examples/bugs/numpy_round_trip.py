"""Features go through NumPy for one function that torch has too; what comes back is a constant."""

import numpy as np
import torch
from torch import nn

FINDING = "left-torch"


class Spectrum(nn.Module):
    def __init__(self, *, with_numpy):
        super().__init__()
        self.filter = nn.Linear(16, 16)
        self.readout = nn.Linear(16, 1)
        self.with_numpy = with_numpy

    def forward(self, x):
        filtered = self.filter(x)
        if self.with_numpy:
            features = torch.from_numpy(np.log1p(np.abs(filtered.detach().numpy())))
        else:
            features = torch.log1p(filtered.abs())
        return self.readout(features)


def step(*, with_numpy):
    torch.manual_seed(0)
    x, target = torch.randn(16, 16), torch.randn(16, 1)
    return nn.functional.mse_loss(Spectrum(with_numpy=with_numpy)(x), target)


def broken():
    return step(with_numpy=True)


def healthy():
    return step(with_numpy=False)
