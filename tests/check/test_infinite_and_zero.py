"""Ties of infinities, infinite slopes, edges of clamps: what torch has right is no mismatch, and NaN verifies nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport

DTYPES = [torch.float32, torch.float64, torch.bfloat16]
TIED: dict[str, Callable[[Tensor], Tensor]] = {
    "amax": lambda x: x.amax(0),
    "max": lambda x: x.max(),
    "amin of the negative": lambda x: (-x).amin(0),
    "aminmax": lambda x: x.aminmax().max,
    "median": lambda x: x.median(),
    "nanmedian": lambda x: x.nanmedian(),
    "norm": lambda x: x.norm(math.inf),
    "maximum": lambda x: torch.maximum(x, x.detach())[:2].sum(),
    "maximum of many": lambda x: torch.maximum(x.repeat(3), x.detach().repeat(3))[:7].amin(0),
}


def checked(function: Callable[[Tensor], Tensor], numbers: list[float], dtype: torch.dtype) -> CheckReport:
    return gradviz.trace(function, torch.tensor(numbers, dtype=dtype, requires_grad=True), device="cpu").check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", TIED)
def test_ties_of_infinities_are_not_wrong(name: str, dtype: torch.dtype) -> None:
    report = checked(TIED[name], [math.inf, math.inf, 1.0], dtype)
    assert report.ok, report
    told = [found.reason for found in (*report.edges, *report.leaves) if found.verdict == "unverified"]
    assert any("no one-sided derivatives beside infinity" in reason for reason in told)


@pytest.mark.parametrize("numbers", [[math.nan, 2.0, 2.0], [2.0, math.nan, 2.0, 1.0, 2.0], [math.inf, math.nan, math.inf]])
def test_ties_of_nanmedian_beside_nan_are_not_wrong(numbers: list[float]) -> None:
    assert checked(lambda x: x.nanmedian(), numbers, torch.float32).ok
    assert checked(lambda x: x.nanmedian(0).values, numbers, torch.float32).ok


@pytest.mark.parametrize("dtype", DTYPES)
def test_entr_is_infinitely_steep_at_0(dtype: torch.dtype) -> None:
    report = checked(lambda x: torch.special.entr(x).sum(), [0.0, 0.1, 0.7, 1.0, 2.0], dtype)
    assert {found.verdict for found in (*report.edges, *report.nodes, *report.leaves)} == {"match"}
    assert "infinite on both sides" in report.leaves[0].reason


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("function", [torch.xlogy, torch.special.xlog1py])
def test_slope_of_xlogy_at_0_is_the_logarithm(function: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype) -> None:
    others = torch.tensor([0.5, 2.0, 3.0, 0.25, 7.0], dtype=dtype)
    report = checked(lambda x: function(x, others).sum(), [0.0, 1.0, 0.0, 0.5, 2.0], dtype)
    assert {found.verdict for found in (*report.edges, *report.nodes, *report.leaves)} == {"match"}


@pytest.mark.parametrize("name", ["prod", "cumprod"])
def test_nan_of_a_product_with_infinity_is_unverified(name: str) -> None:
    report = checked(lambda x: getattr(x, name)(0).sum(), [math.inf, 2.0, 3.0], torch.float64)
    assert not report.ok  # a gradient is NaN
    assert "mismatch" not in {found.verdict for found in (*report.edges, *report.nodes, *report.leaves)}
    assert any("an argument holds infinity at [0]" in edge.reason for edge in report.edges)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [3, 7])
@pytest.mark.parametrize("eps", [1e-6, 1e-3, 0.1])
def test_edges_of_a_clamped_logit_are_not_wrong(eps: float, count: int, dtype: torch.dtype) -> None:
    edge = float(torch.tensor(1 - eps, dtype=dtype))
    step = torch.finfo(dtype).eps
    numbers = [edge, edge * (1 + step), edge * (1 - step), 0.5, 0.4, eps, 0.0][:count]
    assert checked(lambda x: torch.logit(x, eps).sum(), numbers, dtype).ok


def test_a_wrong_backward_beside_infinity_is_still_seen() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            (x,) = ctx.saved_tensors
            return cotangent * 2.002 * x

    assert not checked(lambda x: Doubled.apply(x).sum(), [math.inf, 2.0, 3.0], torch.float64).ok


@pytest.mark.parametrize("shape", [(), (3,), (70, 70)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_zero_to_the_power_of_zero_has_no_derivative_along_the_exponent(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """0**y is 0 above 0, 1 there and infinite below: torch takes 0 by convention."""
    x, y = (torch.zeros(shape, dtype=dtype, requires_grad=True) for _ in range(2))
    report = gradviz.trace(lambda x, y: (x**y).sum(), x, y).check()
    assert report.ok, report
    (along_y,) = [entry for entry in report.edges if entry.name.endswith("/∂y")]
    assert (along_y.verdict, along_y.finding, along_y.autograd) == ("unverified", "undefined", 0.0)
    assert {entry.name: entry.verdict for entry in report.edges}["∂a/∂x"] == "match"
    assert {entry.name: entry.verdict for entry in report.leaves} in ({}, {"x": "match", "y": "unverified"})  # {} of many


ZEROS = [0.0, 1.0, 2.0, 0.0, 0.0]
POWERS = [2.0, 3.0, 0.5, 1.0, 0.5]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize(
    ("base", "exponent"),
    [(0.0, 2.0), (ZEROS, POWERS), (ZEROS, 1.5), (0.0, [2.0, 3.0, 0.5, 1.0]), (ZEROS * 900, POWERS * 900)],
    ids=["scalars", "tensors", "one exponent", "one base", "many"],
)
def test_powers_of_zero_are_verified_along_base_and_exponent(
    base: float | list[float], exponent: float | list[float], dtype: torch.dtype
) -> None:
    x, y = (torch.tensor(numbers, dtype=dtype, requires_grad=True) for numbers in (base, exponent))
    report = gradviz.trace(lambda x, y: (x**y).sum(), x, y).check()
    assert {entry.verdict for entry in (*report.edges, *report.leaves)} == {"match"}, report


def test_a_power_of_a_difference_that_rounding_may_have_made_zero_is_not_wrong() -> None:
    x = torch.tensor([0.1, 0.5], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.5, 0.7], dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x, y: ((x * 3 - 0.3).abs() ** y).sum(), x, y).check()
    assert "mismatch" not in {entry.verdict for entry in (*report.edges, *report.leaves)}, report


def test_a_wrong_derivative_along_the_exponent_of_zero_is_seen() -> None:
    class Power(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            ctx.save_for_backward(x, y)
            return x**y

        @staticmethod
        def backward(ctx, cotangent: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
            x, y = ctx.saved_tensors
            return cotangent * y * x ** (y - 1), cotangent * x**y * (x + 1e-3).log()

    x, y = (torch.tensor(numbers, dtype=torch.float64, requires_grad=True) for numbers in (ZEROS, POWERS))
    report = gradviz.trace(lambda x, y: Power.apply(x, y).sum(), x, y).check()
    assert {entry.name for entry in report.edges if entry.verdict == "mismatch"} == {"∂a/∂y"}, report


def test_a_number_to_the_power_of_zero_is_checked_where_it_does_not_jump() -> None:
    y = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (along_y, _) = gradviz.trace(lambda y: (0.0**y).sum(), y).check().edges
    assert (along_y.verdict, along_y.formula) == ("unverified", "(0 if y > 0 else nan if y = 0)")
    positive = torch.tensor([2.0, 1.0], dtype=torch.float64, requires_grad=True)
    assert gradviz.trace(lambda y: (0.0**y).sum(), positive).check().verified
    assert gradviz.trace(lambda y: (2.0**y).sum(), y).check().verified
    x = torch.tensor([3.0, 2.0], dtype=torch.float64, requires_grad=True)
    assert gradviz.trace(lambda x, y: (x**y).sum(), x, y).check().verified


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sigmoid_of_minus_infinity_is_verified_to_be_zero(dtype: torch.dtype) -> None:
    x = torch.tensor([-math.inf, 0.5] * 6, dtype=dtype, requires_grad=True)
    graph = gradviz.trace(lambda x: torch.sigmoid(x).sum(), x)
    report = graph.check()
    (sigmoid,) = [entry for entry in report.nodes if graph.nodes[entry.node]["op"] == "sigmoid"]
    assert report.ok and sigmoid.verdict == "match", report


class LooseSigmoid(torch.autograd.Function):
    """The derivative is that of a clamped argument."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return torch.sigmoid(x)

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        result = torch.sigmoid(ctx.saved_tensors[0].clamp(-2, 2))
        return cotangent * result * (1 - result)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("repeated", [1, 6, 5000])
def test_the_slope_of_a_sigmoid_at_minus_infinity_is_zero(repeated: int, dtype: torch.dtype) -> None:
    numbers = [-math.inf, math.inf, 0.5] * repeated
    assert checked(lambda x: torch.sigmoid(x).sum(), numbers, dtype).verified
    report = checked(lambda x: LooseSigmoid.apply(x).sum(), numbers, dtype)
    assert [edge.name for edge in report.edges if edge.verdict == "mismatch"] == ["∂a/∂x"], report
