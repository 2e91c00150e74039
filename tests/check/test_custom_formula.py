"""The formula that a hand-written backward should compute, and how a report tells that it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport


def _report(
    forward: Callable[..., Tensor], backward: Callable[..., Tensor | tuple[Tensor, ...]], *given: Tensor
) -> CheckReport:
    class Written(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, *given: Tensor) -> Tensor:
            ctx.save_for_backward(*given)
            return forward(*given)

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, cotangent: Tensor) -> Tensor | tuple[Tensor, ...]:
            return backward(cotangent, *ctx.saved_tensors)

    one, two = (lambda x: Written.apply(x).sum()), (lambda x, y: Written.apply(x, y).sum())
    return gradviz.trace(one if len(given) == 1 else two, *given).check()


def _leaf(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()


def _half_of_a_square(cotangent: Tensor, x: Tensor) -> Tensor:
    return cotangent * x


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 30)])
def test_a_custom_function_of_numbers_has_the_formula_of_its_forward(shape: tuple[int, ...]) -> None:
    edge = _report(lambda x: x * x, _half_of_a_square, _leaf(*shape)).edges[0]
    assert (edge.verdict, edge.formula) == ("mismatch", "2·x")


def test_each_argument_has_its_formula() -> None:
    edges = _report(lambda x, y: x.sin() * y, lambda c, x, y: (c * x.cos() * y, c * x.sin()), _leaf(3), _leaf(3)).edges
    assert [edge.formula for edge in edges[:2]] == ["y·cos(x)", "sin(x)"]


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x.softmax(0),
        lambda x: x * x.sum(),
        lambda x: x * torch.arange(3.0),
        lambda x: torch.where(x > 0, x, 2 * x),
        lambda x: x + x.flip(0),
        lambda x: x[None] * x,
    ],
)
def test_what_one_element_does_not_tell_has_no_formula(forward: Callable[[Tensor], Tensor]) -> None:
    assert _report(forward, lambda c, x: c.reshape(-1)[:3] * x, _leaf(3)).edges[0].formula == ""


def test_the_ratio_of_a_single_wrong_number_is_told_once() -> None:
    report = _report(lambda x: x * x, _half_of_a_square, _leaf())
    edge, leaf = report.edges[0], report.leaves[0]
    assert edge.reason.endswith("(ratio 0.5); likely slip: missing factor 2") and edge.reason.count("0.5)") == 1
    assert leaf.reason.endswith("(ratio 0.5)")


def test_one_ratio_of_several_wrong_numbers_is_told_once() -> None:
    edge = _report(lambda x: x * x, _half_of_a_square, _leaf(3)).edges[0]
    assert "(ratio" not in edge.reason and "autograd's is half of the true derivative: 0.5 everywhere" in edge.reason
