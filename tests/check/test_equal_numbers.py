"""Of equal or nearly equal numbers the deviations from the mean are rounding alone, as are their squares: no mismatch."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gradviz

WEIGHTS = torch.tensor([0.3, 0.9, 0.1, 0.7, 0.2, 0.8, 0.5], dtype=torch.float64)
TAKEN = {
    "std": lambda x: x.std(),
    "var": lambda x: x.var(),
    "population variance": lambda x: x.var(correction=0),
    "standard score": lambda x: ((x - x.mean()) / (x.std() + 1e-5) * WEIGHTS.to(x.dtype)).sum(),
    "layer_norm": lambda x: (F.layer_norm(x, (7,)) * WEIGHTS.to(x.dtype)).sum(),
    "group_norm": lambda x: (F.group_norm(x.reshape(1, 1, 7), 1) * WEIGHTS.to(x.dtype)).sum(),
    "batch_norm": lambda x: (F.batch_norm(x.reshape(7, 1), None, None, training=True)[:, 0] * WEIGHTS.to(x.dtype)).sum(),
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("number", [0.1, 1000.3])
def test_equal_numbers_have_no_wrong_spread(name: str, dtype: torch.dtype, number: float) -> None:
    x = torch.full((7,), number, dtype=dtype, requires_grad=True)
    assert gradviz.trace(TAKEN[name], x, device="cpu").check().ok


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nearly_equal_numbers_have_no_wrong_spread(dtype: torch.dtype) -> None:
    numbers = torch.full((7,), 1.3, dtype=dtype)
    numbers[2] += 2 * torch.finfo(dtype).eps
    for taken in TAKEN.values():
        assert gradviz.trace(taken, numbers.clone().requires_grad_(), device="cpu").check().ok


class SlightlyWrongVariance(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x.var()

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return cotangent * 1.001 * 2 / (x.numel() - 1) * (x - x.mean())


def test_a_variance_wrong_by_a_thousandth_is_still_seen() -> None:
    x = torch.tensor([1.0, 1.5, 0.5, 2.0, 3.0], requires_grad=True)
    report = gradviz.trace(SlightlyWrongVariance.apply, x, device="cpu").check()
    assert [edge.verdict for edge in report.edges] == ["mismatch"]


@pytest.mark.parametrize("spread", [1e-3, 1e-4])
def test_a_variance_of_nearly_equal_numbers_that_is_wrong_by_a_thousandth_is_seen(spread: float) -> None:
    """Rounding hides it in float32: the formula without it is off by no more than 1.001 written with four digits allows."""
    for seed in range(3):
        x = (1 + spread * torch.randn(7, generator=torch.Generator().manual_seed(seed))).requires_grad_()
        report = gradviz.trace(SlightlyWrongVariance.apply, x, device="cpu").check()
        assert [edge.verdict for edge in report.edges] == ["mismatch"]


class VarianceOfFour(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, third: float) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        ctx.third = third
        return x.var()

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return cotangent * 2 * ctx.third * (x - x.mean()), None


@pytest.mark.parametrize(("third", "verdict"), [(0.33333, "match"), (0.333, "mismatch")])
@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-4])
def test_a_third_may_be_written_with_five_digits(third: float, verdict: str, spread: float) -> None:
    x = (1 + spread * torch.randn(4, generator=torch.Generator().manual_seed(0))).requires_grad_()
    report = gradviz.trace(lambda x: VarianceOfFour.apply(x, third), x, device="cpu").check()
    assert [edge.verdict for edge in report.edges] == [verdict], report


class Bent(torch.autograd.Function):
    """exp(x) - e x, whose backward cancels e, written with six digits, where x is nearly 1."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x.exp() - math.e * x

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return cotangent * (x.exp() - 2.71828)


def test_what_few_digits_lose_by_cancellation_is_no_slip() -> None:
    """It is up to 2 % here, more than rounding makes of it once the formula is known without."""
    x = torch.tensor([1.0 + 1e-4, 1.0 - 3e-5, 1.0 + 2e-5], requires_grad=True)
    report = gradviz.trace(lambda x: Bent.apply(x).sum(), x, device="cpu").check()
    assert not report.mismatches, report


class BentInThePlane(torch.autograd.Function):
    """exp(z) - w z with w = exp(i), which the backward writes with six digits in each part."""

    @staticmethod
    def forward(ctx, z: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(z)
        return z.exp() - cmath.exp(1j) * z

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (z,) = ctx.saved_tensors
        return cotangent * (z.exp() - complex(0.540302, 0.841471)).conj()


def test_what_few_digits_of_a_complex_number_lose_by_cancellation_is_no_slip() -> None:
    z = (torch.tensor([1e-4 + 3e-5j, -3e-5 + 1e-5j, 2e-5 - 5e-5j]) + 1j).requires_grad_()
    report = gradviz.trace(lambda z: (BentInThePlane.apply(z) * WEIGHTS[:3].float()).sum().abs(), z, device="cpu").check()
    assert not report.mismatches, report
