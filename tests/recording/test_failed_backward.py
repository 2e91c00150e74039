"""What is said where a backward pass fails: which custom Function, which argument, on which line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import Function

import gradviz


class Untransposed(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x @ w.t()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return cotangent @ w, x.t() @ cotangent


class OwnSetup(Function):
    @staticmethod
    def forward(x: Tensor, w: Tensor) -> Tensor:
        return x.sum() * w

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        x, _ = ctx.saved_tensors
        return cotangent.new_ones(7), cotangent * x.sum()


class OneGradientOfTwo(Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        return tensors[0] * tensors[1]

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class MultipliesWrongShapes(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sum()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return x @ x  # 3 x 4 times 3 x 4


X = torch.ones(3, 4, requires_grad=True)


@pytest.mark.parametrize(
    ("function", "inputs", "where"),
    [
        (Untransposed, (X, torch.ones(2, 4, requires_grad=True)), r"in Untransposed.backward at \S+:22, for w: Function"),
        (OwnSetup, (X, torch.ones((), requires_grad=True)), r"in OwnSetup.backward at \S+:37, for x: Function"),
        (OneGradientOfTwo, (X, X), r"in OneGradientOfTwo.backward at \S+:48: function"),
        (MultipliesWrongShapes, (X,), r"at test_failed_backward.py:61: mat1 and mat2"),
    ],
)
def test_the_line_of_the_backward_that_failed_is_told(function: Any, inputs: tuple[Tensor, ...], where: str) -> None:
    with pytest.raises(gradviz.TraceError, match=f"the backward pass failed {where}"):
        gradviz.trace(lambda: function.apply(*inputs).sum())
