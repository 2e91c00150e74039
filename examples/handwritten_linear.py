"""A Linear module written by hand with torch.mm: the weight is used once, the bias in every row of the batch."""

import os
from pathlib import Path

import torch
from torch import nn

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)


class Linear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        product = torch.mm(x, self.weight)
        return product + self.bias


graph = gradviz.trace(Linear(2, 3), torch.randn(4, 2), loss=lambda out: out.square().sum())
report = graph.check()
print(report)
assert report.verified
graph.render(out / "handwritten_linear.svg", report=report)
