"""nn.Sequential(Linear(2, 50), ReLU, Linear(50, 1), Sigmoid) with the binary cross-entropy as loss."""

import os
from pathlib import Path

import torch
from torch import nn

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)

model = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 1), nn.Sigmoid())
points = torch.randn(8, 2)
labels = (points.prod(1, keepdim=True) > 0).float()
graph = gradviz.trace(model, points, loss=lambda out: nn.functional.binary_cross_entropy(out, labels))
report = graph.check()
print(report)
assert report.verified
graph.render(out / "sequential_bce.svg", report=report, theme="slides")
