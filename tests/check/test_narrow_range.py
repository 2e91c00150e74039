"""Half precision at the ends of its range: what torch's own formulas lose there is no mismatch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport

SMALL = [0.1, 0.02, 0.005, 0.3, 0.04, 0.2, 5.0, 7.0, 0.001]
"""Their running products lie below the normal numbers of float16."""
MIXED = [6.1e-5, 2e-5, 1.2e-4, 300.0, 0.007, 30.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("numbers", [SMALL, [0.03] * 8, MIXED], ids=["small", "alike", "mixed"])
@pytest.mark.parametrize("op", ["cumprod", "prod"])
def test_products_below_the_normal_numbers_are_no_mismatch(op: str, numbers: list[float], dtype: torch.dtype) -> None:
    x = torch.tensor(numbers, dtype=dtype, requires_grad=True)
    weights = torch.linspace(-1, 1.5, len(numbers)).to(dtype)
    report = gradviz.trace(lambda x: (getattr(x, op)(-1) * (weights if op == "cumprod" else 2)).sum(), x).check()
    assert report.ok, report


def quotient(numbers: list[float]) -> CheckReport:
    a, b = (torch.tensor(numbers, dtype=torch.float16, requires_grad=True) for _ in range(2))

    def added(a: Tensor, b: Tensor) -> Tensor:
        return torch.addcdiv(a, a, b, value=0.7).sum()

    return gradviz.trace(added, a, b).check()


def test_a_denominator_whose_square_overflows_leaves_addcdiv_unverified() -> None:
    report = quotient([300.0, 3.0])
    assert report.ok, report
    assert "beyond its range" in report.edges[2].reason and report.edges[2].verdict == "unverified"


def test_addcdiv_is_verified_where_nothing_overflows() -> None:
    report = quotient([200.0, 3.0])
    assert report.verified, report
    assert report.edges[2].formula == "-0.7·a/b²"


WHOLE = [2.0, 30.0, 34.0, 85.0, 117.0, -143.0]
"""Where cos(π x) is at a crest: rounding of π x moves it by the square of that only."""


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("repeated", [1, 700])
def test_rounding_of_the_argument_of_a_wave_is_no_mismatch(repeated: int, dtype: torch.dtype) -> None:
    scale = 200.0 if dtype == torch.float32 else 1.0
    x = (torch.tensor(WHOLE * repeated, dtype=torch.float64) * scale).to(dtype).requires_grad_()
    report = gradviz.trace(lambda x: torch.sinc(x).sum(), x).check()
    assert report.ok, report
    assert report.edges[0].verdict == "match", report.edges[0].reason


def test_a_square_that_overflows_leaves_sinc_unverified() -> None:
    x = torch.tensor([3.0, 160.0, 0.0], dtype=torch.float16, requires_grad=True)
    report = gradviz.trace(lambda x: torch.sinc(x).sum(), x).check()
    assert report.ok and "beyond its range" in report.edges[0].reason, report


class Sinc(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return torch.sinc(x)

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        turned = torch.pi * x
        return 1.001 * cotangent * (turned * turned.cos() - turned.sin()) / (torch.pi * x * x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_slip_beside_the_rounding_of_a_wave_is_found(dtype: torch.dtype) -> None:
    x = torch.tensor([2.0, 0.3, 0.7, 1.2], dtype=dtype, requires_grad=True)
    report = gradviz.trace(lambda x: Sinc.apply(x).square().sum(), x).check()
    assert [edge.name for edge in report.edges if edge.verdict == "mismatch"] == ["∂a/∂x"], report


@pytest.mark.parametrize("repeated", [1, 20, 2000])
def test_erf_of_small_numbers_is_as_coarse_as_its_kernel_in_bfloat16(repeated: int) -> None:
    numbers = torch.tensor([6e-7, -4.5e-7, -1.8e-7, 1e-6, 1.5e-5, 0.3] * repeated, dtype=torch.bfloat16, requires_grad=True)
    assert (torch.erf(numbers).double() / torch.erf(numbers.double()) - 1).abs().max() > 0.1
    assert gradviz.trace(lambda x: torch.erf(x).sum(), numbers).check().verified


class TimesErf(torch.autograd.Function):
    """x erf(x), with a backward that is as many times too large."""

    times = 1.0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.erf(x)

    @classmethod
    def backward(cls, ctx: Any, cotangent: Tensor) -> Tensor:
        wide = ctx.saved_tensors[0].double()
        slope = torch.erf(wide) + wide * 2 / math.sqrt(math.pi) * torch.exp(-wide * wide)
        return (cotangent * slope * cls.times).to(cotangent.dtype)


class TooSteep(TimesErf):
    """Wrong by a twentieth."""

    times = 1.05


@pytest.mark.parametrize("repeated", [1, 20])
def test_what_is_made_of_a_coarse_erf_inside_of_a_function_is_no_mismatch(repeated: int) -> None:
    x = torch.tensor([6e-7, -4.5e-7, 1e-6, 0.0, 0.3] * repeated, dtype=torch.bfloat16, requires_grad=True)
    assert gradviz.trace(lambda x: TimesErf.apply(x).sum(), x).check().verified
    report = gradviz.trace(lambda x: TooSteep.apply(x).sum(), x).check()
    assert [one.verdict for one in report.edges] == ["mismatch", "match"], report


def test_erf_of_small_numbers_in_float32_is_checked_to_its_digits() -> None:
    x = torch.tensor([6e-7, 1e-3], requires_grad=True)
    graph = gradviz.trace(torch.erf, x, grad_output=torch.ones_like)
    graph.value(graph.node("a")).mul_(1.001)
    report = graph.check()
    assert [entry.name for entry in report.nodes if entry.verdict == "mismatch"] == ["a"], report
