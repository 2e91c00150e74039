"""Images of another size: where their elements lie is computed in floating point, and rounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gradviz

SHAPES = {"linear": (1, 2, 13), "bilinear": (1, 2, 9, 11), "bicubic": (1, 2, 9, 11), "trilinear": (1, 1, 5, 6, 7)}


def _image(mode: str, dtype: torch.dtype) -> Tensor:
    drawn = torch.randn(SHAPES[mode], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn.to(dtype).requires_grad_()


@pytest.mark.parametrize("factor", [0.6, 1.7, 2.3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mode", SHAPES)
def test_a_factor_that_makes_no_whole_size_is_right(mode: str, dtype: torch.dtype, factor: float) -> None:
    image = _image(mode, dtype)
    report = gradviz.trace(lambda x: functional.interpolate(x, scale_factor=factor, mode=mode).square().sum(), image).check()
    assert report.verified, report
    assert {edge.method for edge in report.edges} == {"symbolic"}


@pytest.mark.parametrize("mode", ["linear", "bilinear", "trilinear"])
def test_a_factor_that_leaves_the_size_as_it_is_interpolates_nothing(mode: str) -> None:
    image = _image(mode, torch.float32)
    report = gradviz.trace(lambda x: functional.interpolate(x, scale_factor=1.05, mode=mode).square().sum(), image).check()
    assert report.verified, report


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("mode", SHAPES)
def test_a_slip_of_a_thousandth_in_an_interpolation_is_a_mismatch(mode: str, corners: bool) -> None:
    def enlarged(x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=1.7, mode=mode, align_corners=corners)

    class Enlarged(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return enlarged(x)

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, cotangent: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                return 1.001 * torch.autograd.grad(enlarged(x), x, cotangent)[0]

    report = gradviz.trace(lambda x: Enlarged.apply(x).square().sum(), _image(mode, torch.float32)).check()
    assert report.edges[0].verdict == "mismatch", report
