"""(y − tanh(wx + b))²: the squared error of one neuron, as text and as torch code; both give the same graph."""

import os
from pathlib import Path

import torch

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)


def squared_error(w, x, b, y):
    prediction = torch.tanh(w * x + b)
    return (y - prediction) ** 2


values = {"w": 0.5, "x": 2.0, "b": -0.25, "y": 1.0}
from_text = gradviz.trace("(y - tanh(wx+b))^2", **values)
graph = gradviz.trace(squared_error, *values.values(), device="cpu")
for name, gradient in graph.gradients().items():
    print(f"gradient of {name}: {float(gradient):+.6f} from code, {float(from_text.gradients()[name]):+.6f} from text")
report = graph.check()
print(report)
assert report.verified
graph.render(out / "one_neuron.svg", report=report)
