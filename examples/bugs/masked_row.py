"""A padding mask that leaves one sentence without a word: its row of scores is minus infinity everywhere."""

import torch
from torch import nn

FINDING = "not-finite-value"


def step(lengths):
    torch.manual_seed(0)
    project, head = nn.Linear(8, 8), nn.Linear(8, 2)
    words, labels = torch.randn(4, 5, 8), torch.randint(0, 2, (4,))
    is_padding = torch.arange(5) >= torch.tensor(lengths)[:, None]
    scores = project(words) @ words.transpose(1, 2) / 8**0.5
    scores = scores.masked_fill(is_padding[:, None, :], float("-inf"))
    mixed = scores.softmax(dim=-1) @ words
    return nn.functional.cross_entropy(head(mixed.mean(dim=1)), labels)


def broken():
    return step([5, 3, 0, 2])


def healthy():
    return step([5, 3, 1, 2])
