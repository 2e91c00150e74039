"""A hidden layer σ(A x + b): tensors, where a cotangent goes back through a Jacobian, ∂L/∂x = Jᵀ ∂L/∂h."""

import os
from pathlib import Path

import torch

import gradviz

out = Path(os.environ.get("GRADVIZ_OUT", "out"))
out.mkdir(parents=True, exist_ok=True)

A = [[1.0, -2.0], [0.5, 0.25], [3.0, 1.0]]
cotangent = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
graph = gradviz.trace("h = sigmoid(A @ x + b); h", A=A, x=[0.5, -1.0], b=[0.1, 0.2, 0.3], grad_output=cotangent)
product = graph.arguments_of(graph.node("h"))[0].edge[0]
print("cotangent of A x + b:", graph.cotangent(product).tolist())
for use in graph.arguments_of(product):
    jacobian = use.partial.jacobian()
    print(f"edge {use.edge}: Jacobian of shape {tuple(jacobian.shape)}, formula {use.partial.formula}")
    assert torch.allclose(torch.tensordot(graph.cotangent(product), jacobian, dims=1), use.contribution)
report = graph.check()
print(report)
assert report.verified
graph.render(out / "hidden_layer.svg", report=report)
