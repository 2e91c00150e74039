"""Traced graphs of every kind that explanations speak of: single numbers, vectors, layers, cuts, zeros and NaN."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

import gradviz
from gradviz import GradGraph


def lecture() -> GradGraph:
    return gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")


def shared() -> GradGraph:
    return gradviz.trace("log(z) + exp(z)", z=1.25, device="cpu")


def neuron() -> GradGraph:
    values = {"x": [1.0, 0.2], "y": [0.1, 0.2], "W": [[1.0, -0.2], [0.3, 0.4]], "b": [0.0, 1.0]}
    return gradviz.trace("sum((y - tanh(W@x + b))**2)", at=values, device="cpu")


def sequential() -> GradGraph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1), nn.Sigmoid())
    target = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    return gradviz.trace(model, torch.randn(4, 2), loss=lambda out: nn.functional.binary_cross_entropy(out, target))


def attention() -> GradGraph:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).double()
    return gradviz.trace(layer, torch.randn(2, 3, 8).double().requires_grad_(), loss=lambda out: out.square().mean())


def convolution() -> GradGraph:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 2))
    target = torch.tensor([0, 1])
    return gradviz.trace(model, torch.randn(2, 1, 8, 8), loss=lambda out: nn.functional.cross_entropy(out, target))


def weighted() -> GradGraph:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    return gradviz.trace(lambda x: x.exp(), x, grad_output=torch.tensor([1.0, 0.5, 2.0]))


def split() -> GradGraph:
    x = torch.arange(6.0).requires_grad_()
    left, right = x.split([2, 4])
    return gradviz.trace(left.sum() * right.mean())


def layer() -> GradGraph:
    values = {"x": [1.0, 0.5], "W1": [[1.0, 2.0], [-1.0, -1.0]], "W2": [[3.0, 1.0]], "y": [1.5]}
    return gradviz.trace("sum((W2 @ relu(W1 @ x) - y)**2)", at=values, device="cpu")


ALL: dict[str, Callable[[], GradGraph]] = {
    make.__name__: make for make in (lecture, shared, neuron, sequential, attention, convolution, weighted, split)
}
