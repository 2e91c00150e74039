"""What is told of custom Functions: wrong backwards, and what is meant by one that only passes gradients on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.diagnose import Finding


def kinds(diagnosis: list[Finding]) -> list[str]:
    return [finding.kind for finding in diagnosis]


def test_functions_that_are_written_for_their_backward_are_not_asked() -> None:
    asked = []

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.round()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            asked.append(cotangent)
            return cotangent

    graph = gradviz.trace(lambda x: Rounded.apply(x).square().sum(), torch.randn(4, requires_grad=True))
    assert graph.diagnose() == [] and len(asked) == 1


def test_wrong_edge_of_a_report_is_told_for_any_op() -> None:
    graph = gradviz.trace("sin(x)", x=0.5, device="cpu")
    report = graph.check()
    assert graph.diagnose(report=report) == []


class Gated(torch.autograd.Function):
    """x × (x > 0), whose backward forgets the mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * (x > 0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


def test_wrong_backward_of_a_function_that_multiplies_by_a_step_is_told() -> None:
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    (finding,) = gradviz.trace(lambda: Gated.apply(x * 2).square().sum()).diagnose()
    assert finding.kind == "wrong-backward" and "Gated" in finding.message
    assert "graph.diagnose(report=graph.check(intended=['Gated']))" in finding.hint


class Quantized(torch.autograd.Function):
    """Rounds to steps that it measures off its argument; straight through going back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = x.abs().max() / 7
        return torch.round(x / scale) * scale

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class Largest(torch.autograd.Function):
    """1 at the largest elements, which it finds by their places."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.zeros_like(x).scatter_(0, x.topk(2).indices, 1.0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class Coin(torch.autograd.Function):
    """A random bit, straight through."""

    @staticmethod
    def forward(ctx: Any, p: Tensor) -> Tensor:
        return torch.bernoulli(p)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class TimesRounded(torch.autograd.Function):
    """x × round(2x), whose backward forgets the factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * torch.round(2 * x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


@pytest.mark.parametrize(
    ("function", "told"), [(Quantized, []), (Largest, []), (Coin, []), (TimesRounded, ["wrong-backward"])]
)
def test_a_backward_that_goes_straight_through_what_only_jumps_is_meant(function: Any, told: list[str]) -> None:
    torch.manual_seed(0)
    x = torch.rand(6, requires_grad=True)
    assert kinds(gradviz.trace(lambda x: (function.apply(x.sin()) * x).sum(), x).diagnose()) == told


class Marked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        doubled = x * 2
        ctx.mark_non_differentiable(doubled)
        return doubled

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * 2


def test_a_result_that_a_function_marks_as_not_differentiable_is_told_as_that() -> None:
    x, w = (torch.rand(3, requires_grad=True) for _ in range(2))
    (finding,) = gradviz.trace(lambda x, w: (Marked.apply(x.sin()) * w).sum(), x, w).diagnose()
    assert finding.kind == "step-function" and "no gradient reaches x: Marked marks" in finding.message


def test_what_a_forward_reads_by_a_closure_is_told_as_that() -> None:
    w = torch.rand(3, requires_grad=True)

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * w

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * w

    for change in (torch.sin, torch.detach):
        x = torch.rand(3, requires_grad=True)
        findings = gradviz.trace(lambda x: (Scaled.apply(change(x)) + x).sum(), x).diagnose()  # noqa: B023
        assert [one.kind for one in findings] == ["not-an-argument"]
        assert "the forward of Scaled reads a, and is not given a as an argument" in findings[0].message



class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return cotangent * w, cotangent * x


def test_a_marked_result_is_told_as_that_where_the_next_function_is_given_it() -> None:
    x, w = (torch.rand(3, requires_grad=True) for _ in range(2))
    graph = gradviz.trace(lambda x, w: Product.apply(Marked.apply(x.sin()), w).sum(), x, w)
    (finding,) = graph.diagnose()
    assert finding.kind == "step-function" and "no gradient reaches x: Marked marks" in finding.message


def scaled_by(read: Callable[[], list[Tensor]]) -> Any:
    """A Function that multiplies by what `read` gives, which autograd does not see."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return math.prod(read(), start=x)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return math.prod(read(), start=cotangent)

    return Scaled


def test_a_value_that_a_forward_reads_by_a_closure_is_named_and_not_the_leaves_behind_it() -> None:
    def by_product(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        h = a * b
        return scaled_by(lambda: [h]).apply(x).sum()

    def by_leaves(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return scaled_by(lambda: [a, b]).apply(x).sum()

    a, b, x = (torch.rand(3, requires_grad=True) for _ in range(3))
    for step, said in (
        (by_product, "reads h, and is not given h as an argument"),
        (by_leaves, "reads a, b, and is not given them as arguments"),
    ):
        (finding,) = gradviz.trace(step, a, b, x).diagnose()
        assert finding.kind == "not-an-argument"
        assert f"no gradient reaches a, b: the forward of Scaled {said}: its backward" in finding.message
