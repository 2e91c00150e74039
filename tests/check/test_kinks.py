"""On a kink torch may take any number between the one-sided derivatives: a match that says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import gradviz
from gradviz.check import CheckReport, EdgeCheck
from gradviz.check.judge import Comparison
from gradviz.check.rows import OnTies, compare_row
from gradviz.opcall import OpCall
from gradviz.symbolic import reference

ON_KINKS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "relu": (torch.relu, "relu at 0"),
    "abs": (torch.abs, "|x| at 0"),
    "max": (torch.amax, "tie in"),
    "maximum": (lambda x: torch.maximum(x, x * 2), "tie in maximum"),
    "clamp": (lambda x: torch.clamp(x, 0, 1), ""),
    "leaky relu": (lambda x: torch.nn.functional.leaky_relu(x, 0.2), ""),
    "max of one dim": (lambda x: x.max(0).values, "tie in"),
}


def entry_of(report: CheckReport, op: str, graph: gradviz.GradGraph) -> EdgeCheck:
    return next(entry for entry in report.edges if graph.nodes[entry.edge[1]]["op"] == op)


@pytest.mark.parametrize("size", [(), (3,), (7,)], ids=str)
@pytest.mark.parametrize("name", ON_KINKS)
def test_what_torch_takes_on_a_kink_is_a_match(name: str, size: tuple[int, ...]) -> None:
    function, kink = ON_KINKS[name]
    x = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x: function(x).sum(), x).check()
    assert report.ok, report
    assert all(entry.verdict == "match" for entry in report.edges), report
    if kink and size:
        assert any(kink in entry.reason for entry in report.edges)


def test_the_reason_says_which_number_torch_takes() -> None:
    x = torch.zeros(7, requires_grad=True)
    graph = gradviz.trace(lambda x: torch.relu(x).sum(), x)
    entry = entry_of(graph.check(), "relu", graph)
    assert entry.verdict == "match"
    assert "on a kink (relu at 0) at 7 of 7: torch takes 0" in entry.reason


@pytest.mark.parametrize(
    ("taken", "verdict"), [(0.0, "match"), (0.5, "match"), (1.0, "match"), (1.5, "mismatch"), (-0.1, "mismatch")]
)
@pytest.mark.parametrize("count", [2, 40])
def test_a_custom_backward_may_take_what_lies_between_the_sides(taken: float, verdict: str, count: int) -> None:
    class Relu(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)  # type: ignore[attr-defined]
            return x.clamp(min=0)

        @staticmethod
        def backward(ctx: object, cotangent: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
            return cotangent * torch.where(x == 0, taken, (x > 0).to(x.dtype))

    x = torch.linspace(0, 1, count, dtype=torch.float64).requires_grad_()
    graph = gradviz.trace(lambda x: Relu.apply(x).sum(), x)
    assert entry_of(graph.check(), "Relu", graph).verdict == verdict


def test_the_gradient_of_a_leaf_on_a_kink_is_a_match_between_the_sides() -> None:
    report = gradviz.trace("abs(x) + relu(x)", x=0.0, device="cpu").check()
    (leaf,) = report.leaves
    assert leaf.verdict == "match"
    assert "kink" in leaf.reason


class HalfRoot(torch.autograd.Function):
    """A square root whose backward takes the derivative at 1 for that everywhere."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return torch.sqrt(x)

    @staticmethod
    def backward(ctx: object, cotangent: Tensor) -> Tensor:
        return cotangent / 2


@pytest.mark.parametrize(
    ("root", "at", "verdict", "said"),
    [
        (torch.sqrt, 0.0, "match", "undefined: infinite on both sides: torch gives inf, and so is the true value"),
        (torch.sqrt, -1.0, "unverified", "undefined: torch gives nan, and there is no true value"),
        (HalfRoot.apply, 0.0, "mismatch", "torch gives 0.5, the true value is inf"),
        (HalfRoot.apply, -1.0, "unverified", "undefined: torch gives 0.5 where there is no true value"),
    ],
)
def test_where_the_derivative_is_no_number_only_the_same_infinity_matches(
    root: Callable[[Tensor], Tensor], at: float, verdict: str, said: str
) -> None:
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (edge,) = gradviz.trace(lambda x: root(x), x).check().edges
    assert edge.verdict == verdict and said in edge.reason


AT_CONSTANTS: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "clamp": (lambda x: x.clamp(-0.3, 0.4), [0.1, 0.4, -0.3, 0.7]),
    "hardtanh": (lambda x: functional.hardtanh(x, -0.1, 0.7), [-0.1, 0.7, 0.2, 1.0]),
    "hardshrink": (lambda x: functional.hardshrink(x, 0.3), [0.3, -0.3, 0.1, 1.0]),
    "hardswish": (functional.hardswish, [3.0, -3.0, 1.0, 0.0]),
    "logit": (lambda x: torch.logit(x, 0.1), [0.1, 0.9, 0.5, 0.4]),
    "divided and truncated": (lambda x: torch.div(x, 0.1, rounding_mode="trunc") + x, [0.9, 0.6, 0.3, 0.2]),
    "remainder": (lambda x: torch.remainder(x, 0.1), [0.9, 0.6, 0.3, 0.2]),
}


@pytest.mark.parametrize("more", [0, 2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", AT_CONSTANTS)
def test_a_constant_that_the_dtype_rounds_may_lie_on_either_side(name: str, dtype: torch.dtype, more: int) -> None:
    function, at = AT_CONSTANTS[name]
    x = torch.tensor(at + [0.25] * more, dtype=dtype, requires_grad=True)
    report = gradviz.trace(lambda x: (function(x) * 1.5).sum(), x).check()
    assert not report.mismatches, report
    assert all(entry.verdict == "match" for entry in (*report.edges, *report.nodes)), report


def test_beside_a_jump_no_other_value_is_right() -> None:
    x = torch.tensor([0.3, 0.25], dtype=torch.float32, requires_grad=True)
    graph = gradviz.trace(lambda x: functional.hardshrink(x, 0.29).sum(), x)
    graph.value(graph.node("a"))[0] = 0.0  # type: ignore[index]
    assert [entry.name for entry in graph.check().mismatches] == ["a", "b"]


def test_of_very_many_ties_any_may_be_taken() -> None:
    edge = gradviz.trace(lambda x: x.max(), torch.zeros(100, requires_grad=True)).check().edges[0]
    assert edge.verdict == "match" and "any of those that tie may be taken, which gives 0 to 1" in edge.reason


def test_of_very_many_elements_on_a_kink_nothing_is_called_wrong() -> None:
    comparison = compared_to_median(torch.zeros(100), np.full(100, 0.01), on_ties=None)
    assert comparison.verdict == "unverified"
    assert "on a kink (tie in median) at more than 64 elements of a row" in comparison.reason


def compared_to_median(x: Tensor, got: NDArray[np.float64], on_ties: OnTies | None) -> Comparison:
    truth = reference(OpCall(overload=torch.ops.aten.median.default, args=(x,), outputs=(x.median(),)))
    comparison = Comparison(torch.float32)
    comparison.method = "symbolic"
    row = truth.row(())
    compare_row(comparison, (), got, row, 0, on_kink=lambda _: (0.0, 1.0), on_ties=on_ties, columns=None)
    return comparison


MEDIANS: dict[str, Callable[[Tensor], Tensor]] = {
    "median": torch.median,
    "nanmedian": torch.nanmedian,
    "median of one dim": lambda x: x.median(0).values,
    "nanmedian of one dim": lambda x: x.nanmedian(0).values,
    "kthvalue": lambda x: x.kthvalue(4).values,
    "quantile": lambda x: x.quantile(0.5),
    "nanquantile": lambda x: x.nanquantile(0.5),
    "least and largest": lambda x: sum(x.aminmax()),
}


@pytest.mark.parametrize("name", MEDIANS)
@pytest.mark.parametrize("count", [5, 100])
def test_any_of_equal_numbers_may_be_the_median(name: str, count: int) -> None:
    x = torch.cat([torch.linspace(-2, -1, 4), torch.zeros(count), torch.linspace(1, 2, 3)]).requires_grad_()
    report = gradviz.trace(lambda x: MEDIANS[name](x), x).check()
    assert all(edge.verdict == "match" for edge in report.edges), report


@pytest.mark.parametrize(("taken", "verdict"), [(0.0, "match"), (1.0, "match"), (1.5, "mismatch"), (-0.1, "mismatch")])
def test_what_no_choice_among_equal_numbers_gives_is_wrong(taken: float, verdict: str) -> None:
    x = torch.tensor([-1.0, 0.0, 0.0, 0.0, 1.0])
    truth = reference(OpCall(overload=torch.ops.aten.median.default, args=(x,), outputs=(x.median(),)))
    ranges = {index: ends for (_, index), ends in truth.ranges(()).items()}
    assert ranges == {(1,): (0.0, 1.0), (2,): (0.0, 1.0), (3,): (0.0, 1.0)}
    comparison = compared_to_median(x, np.array([0.0, 0.5, taken, 0.5, 0.0]), lambda: ranges)
    assert comparison.verdict == verdict, comparison.reason
