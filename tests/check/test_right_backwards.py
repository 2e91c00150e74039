"""Hand-written backward passes that are right are never accused, whatever their rounding; their wrong twins are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz


def linear(slip: Callable[[Tensor], Tensor] = lambda right: right) -> Callable[..., Tensor]:
    """y = x Wᵀ + b, hand-written; the gradient for W goes through `slip`."""

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
            ctx.save_for_backward(x, w)
            return x @ w.t() + b

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            x, w = ctx.saved_tensors
            return cotangent @ w, slip(cotangent.t() @ x), cotangent.sum(0)

    return Linear.apply


def traced_linear(size: int, seed: int, slip: Callable[[Tensor], Tensor] = lambda right: right) -> gradviz.GradGraph:
    torch.manual_seed(seed)
    layer, x = torch.nn.Linear(size, 64), torch.randn(size, size)
    function = linear(slip)
    return gradviz.trace(lambda: torch.nn.functional.gelu(function(x, layer.weight, layer.bias)).square().mean())


@pytest.mark.parametrize("size", [200, 512])
def test_a_right_linear_layer_is_verified_at_ordinary_sizes(size: int) -> None:
    assert all(traced_linear(size, seed).check().verified for seed in range(2))


@pytest.mark.parametrize("size", [200, 512])
def test_a_linear_layer_off_by_a_tenth_of_a_percent_is_found(size: int) -> None:
    report = traced_linear(size, 0, lambda right: right * 1.001).check()
    assert [entry.name for entry in report.edges if entry.verdict == "mismatch"] == ["∂a/∂weight"]
