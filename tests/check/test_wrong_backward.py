"""A slip in a hand-written backward is a mismatch on exactly its edge, in a larger graph, and on no other edge."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from faulty_functions import KINDS, SLIPS, Planted, product, transposed
from torch import Tensor

import gradviz
from gradviz.check import CheckReport, EdgeCheck
from gradviz.check.custom.asking import Group


def traced(planted: Planted, dtype: torch.dtype) -> gradviz.GradGraph:
    """The function in the middle of a graph, with uses of the same values beside it."""
    generator = torch.Generator().manual_seed(1)
    x, w = (
        (torch.rand(shape, generator=generator, dtype=torch.float64) + 0.2).to(dtype).requires_grad_()
        for shape in planted.shapes
    )

    def network(x: Tensor, w: Tensor) -> Tensor:
        before = torch.sigmoid(x) * 1.5
        return (torch.cos(planted.run(before, w)) + before * w).pow(2).sum()

    return gradviz.trace(network, x, w)


def custom_edges(graph: gradviz.GradGraph) -> dict[int, tuple[int, int, int]]:
    """Argument position -> edge into the custom Function."""
    head = next(node for node, attributes in graph.nodes(data=True) if attributes["inner_calls"])
    return {use.edge[2]: use.edge for use in graph.arguments_of(head) if use.partial is not None}


def mismatched(report: CheckReport) -> set[tuple[int, int, int]]:
    return {entry.edge for entry in report.mismatches if isinstance(entry, EdgeCheck)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_right_backward_matches_everywhere(kind: str, dtype: torch.dtype) -> None:
    report = traced(KINDS[kind](lambda gradient: gradient, 0), dtype).check()
    assert report.verified, report


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize(
    ("kind", "argument"),
    [("elementwise", 0), ("elementwise", 1), ("product", 0), ("product", 1), ("many", 1), ("softmax", 0)],
)
def test_a_slip_is_a_mismatch_on_exactly_its_edge(kind: str, slip: str, argument: int) -> None:
    graph = traced(KINDS[kind](SLIPS[slip], argument), torch.float64)
    assert mismatched(graph.check()) == {custom_edges(graph)[argument]}


@pytest.mark.parametrize("slip", ["off by 0.1 %", "wrong sign", "one element wrong", "one element off by 0.1 %"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_slip_in_float32_is_a_mismatch_on_exactly_its_edge(kind: str, slip: str) -> None:
    graph = traced(KINDS[kind](SLIPS[slip], 0), torch.float32)
    assert mismatched(graph.check()) == {custom_edges(graph)[0]}


@pytest.mark.parametrize("argument", [0, 1])
def test_a_transposed_gradient_is_a_mismatch_on_exactly_its_edge(argument: int) -> None:
    graph = traced(transposed(argument), torch.float64)
    assert mismatched(graph.check()) == {custom_edges(graph)[argument]}


def test_the_reason_names_the_element_and_the_ratio() -> None:
    graph = traced(product(SLIPS["off by 0.1 %"], 0), torch.float64)
    entry = graph.check().edge(custom_edges(graph)[0])
    assert entry.index is not None
    assert "is 1.001 times the true derivative everywhere" in entry.reason
    assert entry.autograd is not None and entry.reference is not None
    assert entry.autograd / entry.reference == pytest.approx(1.001)


def test_a_slip_in_one_row_that_is_not_sampled_is_found() -> None:
    """3000 x 3000 elements; 8 rows are sampled symbolically, but every element of the VJP is compared in float64."""
    graph = traced(KINDS["many"](SLIPS["one element off by 0.1 %"], 1), torch.float64)
    entry = graph.check(samples=1).edge(custom_edges(graph)[1])
    assert entry.verdict == "mismatch"
    assert entry.index == (2999,)


def test_a_backward_that_is_wrong_for_some_cotangents_only_is_found() -> None:
    class Clipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x * 3

        @staticmethod
        def backward(ctx: object, cotangent: Tensor) -> Tensor:
            return cotangent.clamp(max=0.25) * 3

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = gradviz.trace(lambda x: (Clipped.apply(x) * torch.tensor([0.1, 0.2])).sum(), x)
    assert mismatched(graph.check()) == set(custom_edges(graph).values())


def test_a_value_passed_twice_is_judged_by_the_sum_of_its_uses() -> None:
    def multiply(factor: float) -> Callable[[Tensor], Tensor]:
        class Multiply(torch.autograd.Function):
            @staticmethod
            def forward(ctx: object, a: Tensor, b: Tensor) -> Tensor:
                ctx.save_for_backward(a, b)  # type: ignore[attr-defined]
                return a * b

            @staticmethod
            def backward(ctx: object, cotangent: Tensor) -> tuple[Tensor, Tensor]:
                a, b = ctx.saved_tensors  # type: ignore[attr-defined]
                return cotangent * b * factor, cotangent * a

        return lambda x: Multiply.apply(x, x).sum()

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    right, wrong = (gradviz.trace(multiply(factor), x).check() for factor in (1.0, 1.001))
    assert right.verified
    assert not wrong.ok


def sigmoid_function(factor: float) -> Callable[[Tensor], Tensor]:
    """A right formula that has no right digit left where the sigmoid is nearly 1."""

    class Sigmoid(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            y = 1 / (1 + torch.exp(-x))
            ctx.save_for_backward(y)  # type: ignore[attr-defined]
            return y

        @staticmethod
        def backward(ctx: object, cotangent: Tensor) -> Tensor:
            (y,) = ctx.saved_tensors  # type: ignore[attr-defined]
            return cotangent * y * (1 - y) * factor

    return lambda x: Sigmoid.apply(x).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_right_formula_that_cancels_matches_and_says_so(dtype: torch.dtype) -> None:
    x = torch.tensor([12.0, 17.0, 20.0, 30.0, -30.0], dtype=dtype, requires_grad=True)
    report = gradviz.trace(sigmoid_function(1.0), x).check(samples=5)
    assert report.edges[0].verdict == "match"
    assert "cancellation" in report.edges[0].reason
    assert "lost in backward()" in report.edges[0].reason
    assert not mismatched(report)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("factor", [1.0009765625, -1.0, 2.0])
def test_a_wrong_formula_is_told_where_nothing_but_rounding_is_left_of_it(factor: float, dtype: torch.dtype) -> None:
    x = torch.tensor([20.0 if dtype == torch.float32 else 40.0], dtype=dtype, requires_grad=True)
    report = gradviz.trace(sigmoid_function(factor), x).check()
    assert mismatched(report)
    assert "backward() without its rounding gives" in report.edges[0].reason
    assert f"ratio {factor:.6g}" in report.edges[0].reason


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_cancellation_elsewhere_does_not_hide_a_slip(dtype: torch.dtype) -> None:
    x = torch.tensor([17.0, 30.0, 1.0], dtype=dtype, requires_grad=True)
    assert mismatched(gradviz.trace(sigmoid_function(1.001), x).check())


def test_the_element_that_is_told_is_a_wrong_one_and_none_that_only_rounds_worse() -> None:
    weights, far = torch.tensor([1.001, 1.0, 1.0, 1.0]), torch.tensor([0.0, 1e5, 1e5, 1e5])

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor, w: Tensor) -> Tensor:
            ctx.save_for_backward(w)  # type: ignore[attr-defined]
            return x * w

        @staticmethod
        def backward(ctx: object, cotangent: Tensor) -> tuple[Tensor, None]:
            (w,) = ctx.saved_tensors  # type: ignore[attr-defined]
            return (cotangent * w * weights + far) - far, None

    x, w = torch.ones(4, requires_grad=True), torch.full((4,), 0.3)
    entry = gradviz.trace(lambda x: Scaled.apply(x, w).sum(), x).check().edges[0]
    assert entry.verdict == "mismatch" and entry.index is not None and entry.index[-1] == 0
    assert "ratio 1.001" in entry.reason


def test_groups_of_edges_at_one_place_are_told_apart() -> None:
    first, second = (Group(position=0, snapshot=torch.ones(2), edges=[]) for _ in range(2))
    assert first in [first] and first not in [second]
