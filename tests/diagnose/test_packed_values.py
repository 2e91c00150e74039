"""Hooks on saved tensors: told where the backward pass reads other numbers than the forward pass made, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from swish import Swish
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import gradviz
from gradviz import GradGraph


class Positive(torch.autograd.Function):
    """ReLU as people write it: a mask is saved, with which nothing can be subtracted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        mask = x > 0
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent * ctx.saved_tensors[0]


def dropped(h: Tensor) -> Tensor:
    return functional.max_pool1d(functional.dropout(h, 0.3), 2).masked_fill(h[:, ::2] > 1, 0.0)


def halved(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.is_floating_point() else tensor


def widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def copied(tensor: Tensor) -> Tensor:
    return tensor.clone()


def traced(context: Callable[[], Any], function: Callable[[Tensor], Tensor]) -> GradGraph:
    torch.manual_seed(0)
    x, w = torch.randn(8, 4), torch.randn(6, 4, requires_grad=True)

    def step() -> Tensor:
        with context():
            return function(x @ w.T).square().sum()

    return gradviz.trace(step)


@pytest.mark.parametrize(("function", "name"), [(torch.tanh, "tanh"), (Swish.apply, "Swish")])
@pytest.mark.parametrize("checked", [False, True])
def test_values_that_lost_digits_are_told_by_their_hook(
    function: Callable[[Tensor], Tensor], name: str, checked: bool
) -> None:
    graph = traced(lambda: saved_tensors_hooks(halved, widened), function)
    report = graph.check() if checked else None
    assert report is None or not report.ok
    (finding,) = graph.diagnose(report=report)
    assert (finding.kind, finding.severity) == ("lossy-saved-tensors", "warning")
    assert "hook widened at test_packed_values.py" in finding.message and f"mm (b), {name} (c), pow (d)" in finding.message
    assert 1e-5 < float(finding.numbers["largest error beside the largest element"]) < 1e-3


@pytest.mark.parametrize("context", [lambda: saved_tensors_hooks(copied, copied), save_on_cpu])
@pytest.mark.parametrize(
    "function",
    [torch.tanh, Swish.apply, Positive.apply, dropped, lambda h: checkpoint(torch.tanh, h, use_reentrant=False)],
)
def test_hooks_that_lose_nothing_are_not_told(context: Callable[[], Any], function: Callable[[Tensor], Tensor]) -> None:
    graph = traced(context, function)
    assert graph.diagnose(report=graph.check()) == []
