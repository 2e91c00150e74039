"""A Transformer is given (batch, time, features) without batch_first: each sample attends to the others of its batch."""

import torch
from torch import nn

FINDING = "batch-as-sequence"


class Classifier(nn.Module):
    def __init__(self, *, batch_first):
        super().__init__()
        self.project = nn.Linear(5, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.encoder(self.project(x)).mean(dim=1))


def step(*, batch_first):
    torch.manual_seed(0)
    x, labels = torch.randn(16, 12, 5), torch.randint(0, 3, (16,))
    return nn.functional.cross_entropy(Classifier(batch_first=batch_first)(x), labels)


def broken():
    return step(batch_first=False)


def healthy():
    return step(batch_first=True)
