"""A network that runs on CUDA where there is a GPU, and on the CPU where there is none: nothing in the code differs."""

import os
from pathlib import Path

import torch
from torch import nn

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)

model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3), nn.LogSoftmax(dim=1))
inputs, labels = torch.randn(6, 4), torch.randint(0, 3, (6,))
graph = gradviz.trace(model, inputs, loss=lambda out: nn.functional.nll_loss(out, labels))
print("traced on", graph.nodes[graph.output]["device"])
report = graph.check()
print(report)
assert report.verified
graph.render(out / "network_on_cuda.svg", report=report)
