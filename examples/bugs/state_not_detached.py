"""A recurrent state is carried from step to step in a buffer and never detached: each step reaches back into all before it.

Torch objects, "Trying to backward through the graph a second time", and `retain_graph=True` only hushes that.
"""

import torch
from torch import nn

FINDING = "earlier-graph"


class Memory(nn.Module):
    def __init__(self, *, detach):
        super().__init__()
        self.cell = nn.GRUCell(4, 8)
        self.head = nn.Linear(8, 1)
        self.register_buffer("state", torch.zeros(16, 8))
        self.detach = detach

    def forward(self, x):
        self.state = self.cell(x, self.state.detach() if self.detach else self.state)
        return self.head(self.state)


def steps(*, detach):
    torch.manual_seed(0)
    model, target = Memory(detach=detach), torch.randn(16, 1)
    for _ in range(3):
        nn.functional.mse_loss(model(torch.randn(16, 4)), target).backward(retain_graph=True)
    model.zero_grad()
    return model, torch.randn(16, 4), lambda out: nn.functional.mse_loss(out, target)


def broken():
    return steps(detach=False)


def healthy():
    return steps(detach=True)
