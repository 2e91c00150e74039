"""Messages of a graph network are added with `index_add`, which is not in place, and the result is dropped."""

import torch
from torch import nn

FINDING = "unused-parameter"


class Layer(nn.Module):
    def __init__(self, *, in_place):
        super().__init__()
        self.message, self.own = nn.Linear(4, 8), nn.Linear(4, 8)
        self.in_place = in_place

    def forward(self, nodes, sources, targets):
        messages = self.message(nodes)[sources]
        received = torch.zeros(len(nodes), 8)
        if self.in_place:
            received.index_add_(0, targets, messages)
        else:
            received.index_add(0, targets, messages)
        return torch.tanh(self.own(nodes) + received)


def step(*, in_place):
    torch.manual_seed(0)
    layer = Layer(in_place=in_place)
    sources, targets = torch.randint(0, 10, (30,)), torch.randint(0, 10, (30,))
    return layer(torch.randn(10, 4), sources, targets).square().mean()


def broken():
    return step(in_place=False)


def healthy():
    return step(in_place=True)
