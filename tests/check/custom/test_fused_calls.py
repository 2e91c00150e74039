"""A custom backward that calls torch's own fused one is right wherever that one is, and a slip beside it is still found."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gradviz
from gradviz.check.custom.fused import in_steps
from gradviz.opcall import OpCall

KINDS = ["none", "tanh"]


def activation(backward, forward) -> type[torch.autograd.Function]:
    class Activation(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx, cotangent):
            return backward(cotangent, *ctx.saved_tensors)

    return Activation


def recomputed(forward, cotangent: Tensor, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        return torch.autograd.grad(forward(x), x, cotangent)[0]


def checked(function: type[torch.autograd.Function], dtype: torch.dtype, seed: int) -> gradviz.CheckReport:
    random = torch.Generator().manual_seed(seed)
    x, weights = (torch.randn(64, generator=random, dtype=torch.float64) for _ in range(2))
    x[:6] = torch.tensor([-6.0, -5.5, -5.0, -4.5, -4.0, -3.5], dtype=torch.float64)
    x = (2 * x).to(dtype).requires_grad_()
    return gradviz.trace(lambda x: (function.apply(x) * weights.to(dtype)).sum(), x).check()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("way", ["fused", "recomputed"])
def test_a_gelu_that_cancels_in_its_tail_is_right(kind: str, dtype: torch.dtype, way: str) -> None:
    forward = partial(F.gelu, approximate=kind)
    fused = partial(torch.ops.aten.gelu_backward, approximate=kind)
    backward = fused if way == "fused" else partial(recomputed, forward)
    for seed in range(3):
        report = checked(activation(backward, forward), dtype, seed)
        assert report.ok and report.verified, str(report)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slip", [1.002, -1.0])
def test_a_slip_beside_it_is_found(kind: str, slip: float) -> None:
    def backward(cotangent: Tensor, x: Tensor) -> Tensor:
        return torch.ops.aten.gelu_backward(cotangent, x, approximate=kind) * slip

    report = checked(activation(backward, partial(F.gelu, approximate=kind)), torch.float32, 0)
    assert [one.verdict for one in report.edges].count("mismatch") == 1, str(report)


@pytest.mark.parametrize("kind", KINDS)
def test_the_steps_are_those_of_torch(kind: str) -> None:
    x, cotangent = torch.linspace(-4, 4, 33, dtype=torch.float64), torch.linspace(1, 2, 33, dtype=torch.float64)
    for overload, tensors in ((torch.ops.aten.gelu.default, [x]), (torch.ops.aten.gelu_backward.default, [cotangent, x])):
        made = overload(*tensors, approximate=kind)
        call = OpCall(overload=overload, args=tuple(tensors), kwargs={"approximate": kind}, outputs=(made,))
        apart = in_steps(call, tensors, lambda inner: inner)
        assert apart is not None
        torch.testing.assert_close(apart[0], made, rtol=1e-13, atol=1e-15)
