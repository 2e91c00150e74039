"""An LSTM is given (batch, time, features) without batch_first: it runs over the samples, as if they were one sequence."""

import torch
from torch import nn

FINDING = "batch-as-sequence"


class Classifier(nn.Module):
    def __init__(self, *, batch_first):
        super().__init__()
        self.lstm = nn.LSTM(5, 16, batch_first=batch_first)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        states, _ = self.lstm(x)
        return self.head(states[:, -1])


def step(*, batch_first):
    torch.manual_seed(0)
    x, labels = torch.randn(16, 12, 5), torch.randint(0, 3, (16,))
    return nn.functional.cross_entropy(Classifier(batch_first=batch_first)(x), labels)


def broken():
    return step(batch_first=False)


def healthy():
    return step(batch_first=True)
