"""The encoder's output is detached before the head, so the encoder never learns."""

import torch
from torch import nn

FINDING = "detached"


class Classifier(nn.Module):
    def __init__(self, *, detach):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 16), nn.Tanh())
        self.head = nn.Linear(16, 3)
        self.detach = detach

    def forward(self, x):
        features = self.encoder(x)
        if self.detach:
            features = features.detach()  # left over from an experiment
        return self.head(features)


def step(*, detach):
    torch.manual_seed(0)
    x, labels = torch.randn(16, 8), torch.randint(0, 3, (16,))
    return nn.functional.cross_entropy(Classifier(detach=detach)(x), labels)


def broken():
    return step(detach=True)


def healthy():
    return step(detach=False)
