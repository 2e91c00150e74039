"""The largest of numbers that only rounding makes equal: torch may take any of them, and a wrong derivative is still one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gradviz

EXTREMES = {
    "amax": lambda z: z.amax(-1),
    "max": lambda z: z.max(-1)[0],
    "amin": lambda z: (-z).amin(-1),
    "norm": lambda z: torch.linalg.vector_norm(z, float("inf"), dim=-1),
    "median": lambda z: z.median(),
    "pooling": lambda z: torch.nn.functional.max_pool1d(z, z.shape[-1]),
}


def squared(x: Tensor) -> Tensor:
    return (x * 0.5 - 0.2) ** 2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("seed", range(5))
def test_numbers_that_rounding_makes_equal_tie(dtype: torch.dtype, name: str, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    spread = torch.finfo(dtype).eps * torch.randn(1, 6, generator=random, dtype=torch.float64)
    x = (0.016 * (1 + spread)).to(dtype).requires_grad_()
    report = gradviz.trace(lambda x: (EXTREMES[name](squared(x)) * 0.7).sum(), x).check()
    assert report.ok, str(report)


class WrongLargest(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.amax(-1)

    @staticmethod
    def backward(ctx, cotangent):
        (z,) = ctx.saved_tensors
        return torch.nn.functional.one_hot(z.argmin(-1), z.shape[-1]) * cotangent[..., None]


class LargestTooSteep(WrongLargest):
    @staticmethod
    def backward(ctx, cotangent):
        (z,) = ctx.saved_tensors
        return 1.5 * torch.nn.functional.one_hot(z.argmax(-1), z.shape[-1]) * cotangent[..., None]


@pytest.mark.parametrize("function", [WrongLargest, LargestTooSteep])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_largest_with_a_wrong_derivative_is_still_found(function: type[WrongLargest], dtype: torch.dtype) -> None:
    x = torch.linspace(0.01, 0.05, 6, dtype=dtype)[None].requires_grad_()
    report = gradviz.trace(lambda x: function.apply(squared(x)).sum(), x).check()
    assert [checked.verdict for checked in report.edges].count("mismatch") == 1, str(report)
