"""A tokeniser that knows no word of the text: every id is that of padding, and one row of the embedding learns."""

import torch
from torch import nn

FINDING = "few-rows"


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(200, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, ids):
        return self.head(self.embedding(ids).mean(dim=1))


def step(vocabulary):
    torch.manual_seed(0)
    words = [f"word{number % 37}" for number in range(8 * 12)]
    ids = torch.tensor([vocabulary.get(word, 0) for word in words]).reshape(8, 12)
    return nn.functional.cross_entropy(Bag()(ids), torch.randint(0, 2, (8,)))


def broken():
    return step({f"Word{number}": number + 1 for number in range(199)})


def healthy():
    return step({f"word{number}": number + 1 for number in range(199)})
