"""What backward() reads of forward()'s own values is lost where the gradient is differentiated again: that is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.testing import assert_gradients


class Swish(torch.autograd.Function):
    """Saves the sigmoid, which backward() reads as a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = 1 / (1 + torch.exp(-x))
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, s = ctx.saved_tensors
        return cotangent * (s + x * s * (1 - s))


class SwishAgain(Swish):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, _ = ctx.saved_tensors
        s = torch.sigmoid(x)
        return cotangent * (s + x * s * (1 - s))


class Leaky(torch.autograd.Function):
    """Saves what has no derivative: a sign, a mask and random numbers."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        slope, kept = 0.6 + 0.4 * torch.sign(x), (torch.rand_like(x) < 2).to(x.dtype)
        ctx.save_for_backward(x, slope, kept)
        return slope * x**2 * kept

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, slope, kept = ctx.saved_tensors
        return cotangent * 2 * slope * x * kept


def penalty(function: Any, share: float) -> Callable[[Tensor], Tensor]:
    def loss(x: Tensor) -> Tensor:
        y = function.apply(torch.tanh(x)).sum()
        (gradient,) = torch.autograd.grad(y, x, create_graph=True)
        return gradient.square().sum() + (share * y if share else 0)

    return loss


def points() -> Tensor:
    return torch.tensor([0.3, -0.5, 2.0], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_gradient_that_lacks_a_term_of_second_order_is_not_verified(share: float) -> None:
    assert not torch.autograd.gradgradcheck(Swish.apply, points(), raise_exception=False)
    report = gradviz.trace(penalty(Swish, share), points()).check()
    assert all(edge.verdict == "match" for edge in report.edges), report
    assert not report.mismatches and not report.verified
    (leaf,) = report.leaves
    assert leaf.verdict == "unverified" and "Swish.backward() reads at test_second.py:" in leaf.reason
    with pytest.raises(AssertionError, match="counts as a constant where the gradient is differentiated again"):
        assert_gradients(penalty(Swish, share), points())


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("function", [SwishAgain, Leaky])
def test_what_is_computed_again_or_has_no_derivative_is_not_lost(function: Any, share: float) -> None:
    report = assert_gradients(penalty(function, share), points())
    assert report.verified, report


def test_a_first_derivative_loses_nothing() -> None:
    assert assert_gradients(Swish.apply, points()).verified
