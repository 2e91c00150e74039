"""Hooks on saved tensors: told where the backward pass reads other numbers than the forward pass made, and only there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu, saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import gradviz
from gradviz import GradGraph


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        s = torch.sigmoid(x)
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, s = ctx.saved_tensors
        return cotangent * (s + x * s * (1 - s))


def halved(tensor: Tensor) -> Tensor:
    return tensor.half()


def widened(tensor: Tensor) -> Tensor:
    return tensor.float()


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
@pytest.mark.parametrize("function", [torch.tanh, Swish.apply, lambda h: checkpoint(torch.tanh, h, use_reentrant=False)])
def test_hooks_that_lose_nothing_are_not_told(context: Callable[[], Any], function: Callable[[Tensor], Tensor]) -> None:
    graph = traced(context, function)
    assert graph.diagnose(report=graph.check()) == []
