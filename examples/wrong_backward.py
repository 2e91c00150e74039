"""A custom autograd.Function whose hand-written backward is wrong: the check names the edge and the line."""

import os
from pathlib import Path

import torch

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx, cotangent):
        _, s = ctx.saved_tensors
        return cotangent * (s + s * (1 - s))  # the x is missing: s + x s (1 - s)


def loss(x, w):
    hidden = Swish.apply(w * x)
    return torch.tanh(hidden)


graph = gradviz.trace(loss, 0.7, 1.3)
report = graph.check()
print(report)
wrong = [checked for checked in report.edges if checked.verdict == "mismatch"]
for checked in wrong:
    tail, head, _ = checked.edge
    name = graph.nodes[head]["op"]
    print(f"wrong: {name} at {graph.nodes[head]['source']}: {checked.reason}")
assert [graph.nodes[checked.edge[1]]["op"] for checked in wrong] == ["Swish"], "the check must find this edge and no other"
graph.render(out / "wrong_backward.svg", report=report)
