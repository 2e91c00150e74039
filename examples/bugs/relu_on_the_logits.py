"""A loop puts relu behind every layer, also behind the last: no logit can be negative."""

import torch
from torch import nn

FINDING = "squashed-logits"


class Net(nn.Module):
    def __init__(self, *, also_last):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 32), nn.Linear(32, 4)])
        self.also_last = also_last

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            if self.also_last or layer is not self.layers[-1]:
                x = torch.relu(x)
        return x


def step(*, also_last):
    torch.manual_seed(0)
    x, labels = torch.randn(32, 6), torch.randint(0, 4, (32,))
    return nn.functional.cross_entropy(Net(also_last=also_last)(x), labels)


def broken():
    return step(also_last=True)


def healthy():
    return step(also_last=False)
