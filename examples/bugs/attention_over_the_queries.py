"""The softmax of an attention runs over the queries: the weights of one query do not sum to 1."""

import torch
from torch import nn

FINDING = "attention-dim"


def step(*, dim):
    torch.manual_seed(0)
    query, key, value, head = (nn.Linear(16, 16) for _ in range(4))
    x, labels = torch.randn(6, 9, 16), torch.randint(0, 16, (6,))
    scores = query(x) @ key(x).transpose(1, 2) / 4
    scores = scores.masked_fill(torch.ones(9, 9).triu(1).bool(), -torch.inf)
    return nn.functional.cross_entropy(head((scores.softmax(dim) @ value(x)).mean(1)), labels)


def broken():
    return step(dim=-2)


def healthy():
    return step(dim=-1)
