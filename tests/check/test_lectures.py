"""The examples that lectures use: every edge, value, gradient and sum is verified, and the report reads as it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz

EXPRESSIONS = {
    "x*y + sin(pi*x)": {"x": 2.0, "y": 3.0},
    "tanh(log(1 + z*2*x/sin(y)))": {"x": 1.0, "y": 1.0, "z": 0.5},
    "(y - tanh(w*x + b))^2": {"x": 2.0, "y": 1.0, "w": 0.5, "b": 0.1},
    "log(x*y) + exp(x*y)": {"x": 5.0, "y": 3.0},
}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def initialized(model: nn.Module) -> nn.Module:
    for seed, parameter in enumerate(model.parameters()):
        parameter.data = random(*parameter.shape, seed=seed) / 2
    return model


class OwnLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(random(3, 4))
        self.bias = nn.Parameter(random(4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.mm(x, self.weight) + self.bias


def product_in_log_and_exp() -> gradviz.GradGraph:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        z = x * y
        return torch.log(z) + torch.exp(z)

    return gradviz.trace(loss, 5.0, 3.0)


def hidden_layer() -> gradviz.GradGraph:
    leaves = [random(3, 3).requires_grad_(), random(3, seed=1).requires_grad_(), random(3, seed=2).requires_grad_()]
    return gradviz.trace(lambda A, x, b: torch.sigmoid(A @ x + b), *leaves, grad_output=random(3, seed=3))


def two_layer_relu_net() -> gradviz.GradGraph:
    net = initialized(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)))
    return gradviz.trace(net, random(5, 4), loss=lambda out: out.pow(2).mean(), device="cpu")


def classifier() -> gradviz.GradGraph:
    net = initialized(nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 1), nn.Sigmoid()))
    target = (random(40, 1, seed=9) > 0).float()
    return gradviz.trace(net, random(40, 2), loss=lambda out: nn.functional.binary_cross_entropy(out, target), device="cpu")


def own_linear() -> gradviz.GradGraph:
    return gradviz.trace(OwnLinear(), random(6, 3), loss=lambda out: out.sum(), device="cpu")


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions_are_verified_symbolically(text: str) -> None:
    report = gradviz.trace(text, **EXPRESSIONS[text], device="cpu").check()
    assert report.verified, report
    assert {entry.method for entry in (*report.edges, *report.nodes, *report.leaves)} == {"symbolic"}
    assert len(report.leaves) == len(EXPRESSIONS[text])


@pytest.mark.parametrize("make", [product_in_log_and_exp, hidden_layer, two_layer_relu_net, classifier, own_linear])
def test_programs_are_verified_symbolically(make: Callable[[], gradviz.GradGraph]) -> None:
    graph = make()
    report = graph.check()
    assert report.verified, report
    assert {entry.method for entry in report.edges} == {"symbolic"}
    assert [entry.edge for entry in report.edges] == list(graph.differentiable_edges())


def test_the_report_reads_as_it_should(golden: Callable[[str, str], None]) -> None:
    golden("report_of_sum.txt", str(gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").check()) + "\n")


def test_the_report_of_a_net_reads_as_it_should(golden: Callable[[str, str], None]) -> None:
    leaves = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0.5, 0.5])]
    graph = gradviz.trace(lambda A, x: torch.relu(A @ x).sum(), *(leaf.requires_grad_() for leaf in leaves))
    golden("report_of_net.txt", str(graph.check()) + "\n")


def test_the_truth_of_the_first_lecture_is_what_the_lecture_says() -> None:
    report = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").check()
    assert {entry.name: entry.reference for entry in report.leaves} == pytest.approx({"x": 3 + torch.pi, "y": 2.0})
    assert {entry.name: entry.formula for entry in report.leaves} == {"x": "y + π·cos(π·x)", "y": "x"}
