"""Attention pooling whose softmax runs over the samples of the batch: these compete for weight, the words of one do not."""

import torch
from torch import nn
from torch.nn import functional as F

FINDING = "attention-dim"


class Classifier(nn.Module):
    def __init__(self, *, dim):
        super().__init__()
        self.score = nn.Linear(8, 1)
        self.head = nn.Linear(8, 3)
        self.dim = dim

    def forward(self, words):
        weights = self.score(words).squeeze(-1).softmax(dim=self.dim)
        return self.head((weights.unsqueeze(-1) * words).sum(dim=1))


def step(*, dim):
    torch.manual_seed(0)
    words, labels = torch.randn(12, 7, 8), torch.randint(0, 3, (12,))
    return F.cross_entropy(Classifier(dim=dim)(words), labels)


def broken():
    return step(dim=0)


def healthy():
    return step(dim=1)
