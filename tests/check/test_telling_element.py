"""A mismatch shows an element of which the true number is no rounding noise, so that the ratio of the two says something."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import EdgeCheck
from gradviz.check.arrays import apart, worst_first
from gradviz.check.judge import Comparison


def wrong_edge(share: float, dtype: torch.dtype) -> EdgeCheck:
    """Of an RMS norm whose backward has this share of the term that goes through the mean of the squares.

    The loss is the sum of the squares of the normalized rows, so that the true gradient is nothing but what is left of
    terms that cancel.
    """

    class RMSNorm(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            scale = (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
            ctx.save_for_backward(x, scale)
            return x * scale

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            x, scale = ctx.saved_tensors
            return cotangent * scale - share * x * scale**3 * (cotangent * x).mean(-1, keepdim=True)

    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    report = gradviz.trace(lambda x: RMSNorm.apply(x).square().sum(), x).check()
    (entry,) = report.mismatches
    assert isinstance(entry, EdgeCheck)
    return entry


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_forgotten_term_is_shown_where_the_true_derivative_is_no_noise(dtype: torch.dtype) -> None:
    entry = wrong_edge(0.0, dtype)
    assert entry.autograd is not None and entry.reference is not None
    assert abs(entry.reference) > 1e-3
    assert -0.5 < entry.autograd / entry.reference < 2
    assert entry.to_dict()["reference"] == entry.reference and "ratio" in entry.reason


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_term_that_is_off_by_a_factor_shows_that_factor(dtype: torch.dtype) -> None:
    entry = wrong_edge(1.001, dtype)
    assert entry.autograd is not None and entry.reference is not None
    assert entry.autograd / entry.reference == pytest.approx(1.001, rel=1e-5)
    assert "(ratio 1.001)" in entry.reason


def test_of_many_wrong_elements_those_that_say_nothing_come_last() -> None:
    true = np.array([1e-9] * 40 + [2.0], dtype=np.longdouble)
    got, bound = np.array([1.0] * 40 + [3.0]), np.full(41, 1e-8)
    error, good = apart(got, true, bound)
    assert worst_first(error, true, bound, good)[0] == (40,)


def test_a_number_that_should_be_zero_tells_more_than_one_that_is_hardly_wrong() -> None:
    comparison = Comparison(torch.float64)
    comparison.method = "symbolic"
    comparison.elements(np.array([2.0, 1.0 + 3e-13]), np.array([0.0, 1.0], dtype=np.longdouble), np.full(2, 1e-13))
    assert comparison.index == (0,)


def test_a_result_of_minus_zero_is_no_ratio_below_zero() -> None:
    comparison = Comparison(torch.float64)
    comparison.element(None, -0.0, 2.0, 1e-12)
    assert "(ratio 0)" in comparison.reason
