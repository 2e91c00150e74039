"""Slips smaller than half precision can tell: seen in what a backward computes without rounding, or told as hidden."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import EdgeCheck

DTYPES = [torch.bfloat16, torch.float16]


def _edge(factor: float, argument: int, dtype: torch.dtype, scale: float, seed: int) -> EdgeCheck:
    """Of a layer of few outputs, long sums of which lie near the kink, whose backward() is off by a factor."""

    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, w: Tensor) -> Tensor:
            y = (x @ w).relu()
            ctx.save_for_backward(x, w, y)
            return y

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, cotangent: Tensor) -> tuple[Tensor, Tensor]:
            x, w, y = ctx.saved_tensors
            cotangent = cotangent * (y > 0)
            gradients = [cotangent @ w.t(), x.t() @ cotangent]
            gradients[argument] = gradients[argument] * factor
            return gradients[0], gradients[1]

    random = torch.Generator().manual_seed(seed)
    x = (scale * torch.randn(3, 200, generator=random)).to(dtype).requires_grad_()
    w = torch.randn(200, 4, generator=random).to(dtype).requires_grad_()
    return gradviz.trace(lambda x, w: Layer.apply(x, w).float().sum(), x, w).check().edges[argument]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [1.0, 1e-4, 300.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("argument", [0, 1])
def test_a_slip_of_a_tenth_of_a_percent_is_seen_or_told_to_be_hidden(
    argument: int, dtype: torch.dtype, scale: float, seed: int
) -> None:
    edge = _edge(1.001, argument, dtype, scale, seed)
    hidden = re.search(r"rounding in \w+ hides a slip of less than ([\d.]+) %", edge.reason)
    assert edge.verdict == "mismatch" or (hidden and float(hidden[1]) > 0.1), edge


@pytest.mark.parametrize("scale", [1.0, 1e-4, 300.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("argument", [0, 1])
def test_a_right_one_matches(argument: int, dtype: torch.dtype, scale: float) -> None:
    edge = _edge(1.0, argument, dtype, scale, 0)
    assert edge.verdict == "match" and "hides a slip" not in edge.reason, edge
