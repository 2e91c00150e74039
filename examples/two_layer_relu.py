"""A two-layer ReLU network: parameters carry the names that `named_parameters` gives them."""

import os
from pathlib import Path

import torch
from torch import nn

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)


class TwoLayerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 4)
        self.readout = nn.Linear(4, 1)

    def forward(self, x):
        h = torch.relu(self.hidden(x))
        return self.readout(h)


model = TwoLayerNet()
inputs, targets = torch.randn(5, 3), torch.randn(5, 1)
graph = gradviz.trace(model, inputs, loss=lambda out: ((out - targets) ** 2).mean())
for name, parameter in model.named_parameters():
    print(f"{name}: shape {tuple(parameter.shape)}, gradient norm {float(graph.gradients()[name].norm()):.4f}")
report = graph.check()
print(report)
assert report.verified
graph.render(out / "two_layer_relu.svg", report=report)
