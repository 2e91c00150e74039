"""A gradient that is part of the graph, made with create_graph=True: every edge of the second pass is checked too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.check import EdgeCheck


def gradient(y: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(y, x, create_graph=True)[0]


class Cube(torch.autograd.Function):
    """x³, with a backward that autograd differentiates."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return cotangent * 3 * x**2


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "power": lambda x: (x**3).sum(),
    "tanh": lambda x: torch.tanh(x * 1.5).sum(),
    "sigmoid": lambda x: torch.sigmoid(x).log().sum(),
    "exp of sin": lambda x: torch.exp(torch.sin(x)).sum(),
    "softplus": lambda x: nn.functional.softplus(x).sum(),
    "softmax": lambda x: (torch.softmax(x, 0) * x).sum(),
    "custom": lambda x: Cube.apply(x).sum(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_penalty_on_a_gradient_is_verified(name: str) -> None:
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)

    def penalty(x: Tensor) -> Tensor:
        y = FUNCTIONS[name](x)
        return gradient(y, x).pow(2).sum() + y

    graph = gradviz.trace(penalty, x)
    report = graph.check()
    assert report.verified, report
    traced = graph.gradients()["x"]
    assert traced is not None
    torch.testing.assert_close(traced, torch.autograd.grad(penalty(x), x)[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["layer_norm", "batch_norm"])
def test_a_penalty_beyond_what_is_looked_at_element_by_element_is_verified(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(40, 30, 3, dtype=dtype, requires_grad=True)
    report = gradviz.trace(lambda x: gradient(NORMS[name](x).tanh().sum(), x).pow(2).sum(), x).check()
    assert report.verified and {edge.verdict for edge in report.edges} == {"match"}, report
    assert any("they would not move along" in edge.how for edge in report.edges)


LABELS = torch.tensor([0.0, 1.0, 0.0, 0.25])
NORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "layer_norm": lambda x: nn.functional.layer_norm(x, (3,)),
    "batch_norm": lambda x: nn.functional.batch_norm(x, None, None, training=True),
    "batch_norm in eval": lambda x: nn.functional.batch_norm(x, torch.zeros(2).to(x), torch.ones(2).to(x)),
    "group_norm": lambda x: nn.functional.group_norm(x, 1),
    "instance_norm": nn.functional.instance_norm,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", NORMS)
@pytest.mark.parametrize("is_read_again", [True, False])
def test_a_penalty_on_the_gradient_of_a_norm_is_verified(name: str, dtype: torch.dtype, is_read_again: bool) -> None:
    torch.manual_seed(0)
    x, weights = torch.randn(2, 2, 3, dtype=dtype, requires_grad=True), torch.randn(2, 2, 3, dtype=dtype)

    def penalty(x: Tensor) -> Tensor:
        y = NORMS[name](x) * weights
        return gradient((y.tanh() if is_read_again else y).sum(), x).pow(2).sum()

    report = gradviz.trace(penalty, x).check()
    assert report.verified and len(report.leaves) == 1, report


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("reduction", ["log_sigmoid", "none", "mean"])
def test_edges_into_the_backward_of_a_loss_match(reduction: str, dtype: torch.dtype) -> None:
    x = torch.tensor([0.5, -1.0, 4.0, -6.0], dtype=dtype, requires_grad=True)

    def loss(x: Tensor) -> Tensor:
        if reduction == "log_sigmoid":
            return nn.functional.logsigmoid(x)
        return nn.functional.binary_cross_entropy(x.sigmoid(), LABELS.to(x), reduction=reduction)

    report = gradviz.trace(lambda x: gradient(loss(x).sum(), x).pow(2).sum(), x).check()
    assert {edge.verdict for edge in report.edges} == {"match"} and not report.mismatches, report


def test_the_penalty_of_a_critic_is_verified() -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Softplus(), nn.Linear(8, 1)).double()

    def penalty(points: Tensor) -> Tensor:
        points = points.detach().requires_grad_()
        return (gradient(critic(points).sum(), points).norm(dim=1) - 1).pow(2).mean()

    report = gradviz.trace(penalty, torch.randn(5, 3, dtype=torch.float64)).check()
    assert report.verified, report


class WrongTwice(torch.autograd.Function):
    """The derivative of x³ as a Function of its own, whose own backward lacks the 2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 3 * x * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return cotangent * 3 * x


class CubeWrongTwice(Cube):
    """Right once and wrong the second time."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return cotangent * WrongTwice.apply(x)


def test_a_slip_of_the_second_backward_is_found_at_exactly_its_edge() -> None:
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(lambda x: gradient(CubeWrongTwice.apply(x).sum(), x).pow(2).sum(), x)
    wrong = [entry for entry in graph.check().mismatches if isinstance(entry, EdgeCheck)]
    assert [graph.nodes[entry.edge[1]]["op"] for entry in wrong] == ["WrongTwice"]
    assert "missing factor 2" in wrong[0].reason


class SigmoidSlope(torch.autograd.Function):
    """The backward of a sigmoid as a Function of its own, as it is handed the result that forward saved."""

    @staticmethod
    def forward(ctx: Any, cotangent: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(cotangent, y)
        return cotangent * y * (1 - y)

    @staticmethod
    def backward(ctx: Any, second: Tensor) -> Any:
        cotangent, y = ctx.saved_tensors
        return second * y * (1 - y), second * cotangent * (1 - 2 * y)


class SigmoidOfResult(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.sigmoid(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        return SigmoidSlope.apply(cotangent, *ctx.saved_tensors)


def test_a_result_that_backward_reads_again_stays_the_one_result_of_its_function() -> None:
    x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(lambda x: gradient(SigmoidOfResult.apply(x).square().sum(), x), x, grad_output=torch.ones_like)
    report = graph.check()
    assert graph.nodes[next(node for node in graph if graph.nodes[node]["op"] == "SigmoidOfResult")]["outputs"] == (0,)
    assert report.verified, report
