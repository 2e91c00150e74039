"""`torch.no_grad()` was meant for the positions alone, but the embedding layer stands inside of it too."""

import torch
from torch import nn

FINDING = "no-grad"


class Model(nn.Module):
    def __init__(self, *, too_much):
        super().__init__()
        self.embed = nn.Linear(5, 12)
        self.head = nn.Linear(12, 1)
        self.too_much = too_much

    def forward(self, x):
        with torch.no_grad():
            positions = torch.sin(torch.arange(len(x)).float()).unsqueeze(1)
            if self.too_much:
                hidden = self.embed(x)
        if not self.too_much:
            hidden = self.embed(x)
        return self.head(torch.tanh(hidden + positions))


def step(*, too_much):
    torch.manual_seed(0)
    x, target = torch.randn(16, 5), torch.randn(16, 1)
    return nn.functional.mse_loss(Model(too_much=too_much)(x), target)


def broken():
    return step(too_much=True)


def healthy():
    return step(too_much=False)
