"""Features (B, T, H * D) are split into heads by `view(B, H, T, D)`: each head gets a stretch of the sequence."""

import torch
from torch import nn

FINDING = "reshaped-heads"


def step(*, transpose):
    torch.manual_seed(0)
    layers = [nn.Linear(24, 24) for _ in range(3)]
    out, head = nn.Linear(24, 24), nn.Linear(24, 5)
    x, labels = torch.randn(4, 9, 24), torch.randint(0, 5, (4,))
    parts = [layer(x) for layer in layers]
    parts = [part.view(4, 9, 3, 8).transpose(1, 2) if transpose else part.view(4, 3, 9, 8) for part in parts]
    query, key, value = parts
    weights = (query @ key.transpose(2, 3) / 8**0.5).softmax(dim=-1)
    merged = (weights @ value).transpose(1, 2).reshape(4, 9, 24)
    return nn.functional.cross_entropy(head(out(merged).mean(1)), labels)


def broken():
    return step(transpose=False)


def healthy():
    return step(transpose=True)
