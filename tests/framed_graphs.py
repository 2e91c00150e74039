"""Traced graphs that frames are made of: lecture examples, layers, shared and multiple results, cuts and hooks."""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from torch import nn

import gradviz
from gradviz import GradGraph


def lecture() -> GradGraph:
    return gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")


def chain() -> GradGraph:
    return gradviz.trace("tanh(ln(1 + z*2x/sin y))", x=1.0, y=2.0, z=3.0, device="cpu")


def vectors() -> GradGraph:
    A = [[1.0, -2.0], [0.5, 0.25], [3.0, 1.0]]
    cotangent = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64)
    values = {"A": A, "x": [0.5, -1.0], "b": [0.1, 0.2, 0.3]}
    return gradviz.trace("h = sigmoid(A @ x + b); h", at=values, grad_output=cotangent, device="cpu")


def squares() -> GradGraph:
    return gradviz.trace("sum((y - tanh(W@x + b))**2)", at=NEURON, device="cpu")


def relu_net() -> GradGraph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    inputs, targets = torch.randn(5, 3), torch.randn(5, 1)
    return gradviz.trace(model, inputs, loss=lambda out: ((out - targets) ** 2).mean())


def bce_net() -> GradGraph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 1), nn.Sigmoid())
    labels = torch.ones(8, 1)
    return gradviz.trace(model, torch.randn(8, 2), loss=lambda out: nn.functional.binary_cross_entropy(out, labels))


def deep() -> GradGraph:
    return gradviz.trace(NESTED, x=0.3, device="cpu")


def wide() -> GradGraph:
    names = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
    leaves = {name: torch.tensor(0.5 + place, requires_grad=True) for place, name in enumerate(names)}
    return gradviz.trace(torch.stack(list(leaves.values())).prod(), names=leaves)


def split() -> GradGraph:
    x = torch.arange(6.0).requires_grad_()
    left, right = x.split([2, 4])
    return gradviz.trace(left.sum() * right.mean())


def cut() -> GradGraph:
    x, unused = torch.tensor(3.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    return gradviz.trace(lambda x, unused: x * (x * x).detach() + 0 * unused.detach(), x, unused)


def training(steps: int = 3) -> list[GradGraph]:
    """Gradient descent on (w·x − y)²."""
    w, graphs = torch.tensor(0.5, requires_grad=True), []
    for _ in range(steps):
        loss = (w * 2.0 - 3.0) ** 2
        graphs.append(gradviz.trace(loss, names={"w": w}))
        w = (w - 0.05 * torch.autograd.grad((w * 2.0 - 3.0) ** 2, w)[0]).detach().requires_grad_()
    return graphs


def example(name: str) -> GradGraph:
    """The graph of a lecture example; what it prints and draws is thrown away."""
    with (
        tempfile.TemporaryDirectory() as out,
        mock.patch.dict(os.environ, GRADVIZ_OUT=out),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        graph: GradGraph = runpy.run_path(str(SCRIPTS / f"{name}.py"))["graph"]
    return graph


SCRIPTS = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(path.stem for path in SCRIPTS.glob("*.py") if not path.name.startswith("__"))
NEURON = {"x": [1.0, 0.2], "y": [0.1, 0.2], "W": [[1.0, -0.2], [0.3, 0.4]], "b": [0.0, 1.0]}
NESTED = "sin(cos(exp(sin(cos(tanh(sin(exp(cos(sin(tanh(exp(sin(cos(x))))))))))))))"
ALL: dict[str, Callable[[], GradGraph]] = {
    make.__name__: make for make in (lecture, chain, vectors, squares, relu_net, bce_net, deep, wide, split, cut)
}
