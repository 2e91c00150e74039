"""Where rounding decides on which side of a jump a number lies, neither side is called wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


class Steps(torch.autograd.Function):
    """x floor(10 x), with the derivative that it has between jumps."""

    slope = 1.0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.floor(x * 10) * x

    @classmethod
    def backward(cls, ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return cls.slope * cotangent * torch.floor(x * 10)


class StepsOff(Steps):
    slope = 1.1


class Signed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sign(x * 10 - 0.5) * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return cotangent * torch.sign(x * 10 - 0.5)


def multiples(dtype: torch.dtype) -> Tensor:
    return torch.linspace(-0.5, 0.5, 11).to(dtype).requires_grad_()


def check_of(function: Any, x: Tensor) -> CheckReport:
    return gradviz.trace(lambda x: (function(x) * 1.5).sum(), x).check()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_backward_may_lie_on_either_side_of_a_jump(dtype: torch.dtype) -> None:
    assert check_of(Steps.apply, multiples(dtype)).ok
    assert not check_of(StepsOff.apply, multiples(dtype)).ok


@pytest.mark.parametrize("decimals", [1, 2, -1])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_number_half_way_between_two_decimals_may_be_rounded_either_way(dtype: torch.dtype, decimals: int) -> None:
    x = torch.tensor([0.05, 0.85, 0.3, 5.0, 0.015, 25.0]).to(dtype).requires_grad_()
    assert check_of(lambda x: torch.round(x, decimals=decimals), x).verified


def test_elsewhere_what_is_rounded_to_decimals_has_one_value() -> None:
    x = torch.tensor([0.04, 0.31], requires_grad=True)
    graph = gradviz.trace(lambda x: torch.round(x, decimals=1).sum(), x)
    graph.value(graph.node("a"))[0] = 0.1  # type: ignore[index]
    assert [entry.name for entry in graph.check().mismatches] == ["a", "b"]


def test_a_value_at_a_jump_inside_a_function_is_no_mismatch() -> None:
    x = torch.tensor([0.05, 0.3], requires_grad=True)
    report = check_of(Signed.apply, x)
    assert report.ok
    assert any("on which side of a jump it lies (sign at 0)" in entry.reason for entry in report.unverified)


def test_straight_through_derivatives_of_fake_quantization_are_unverified() -> None:
    x = multiples(torch.float32)
    report = check_of(lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127), x)
    assert report.ok and "straight through" in report.edges[0].reason


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("eps", [1e-3, 1e-6, 0.1])
@pytest.mark.parametrize("places", [[0.9999], [1.0, 0.0], [0.9999, 1.0, 0.0, 1e-7, 0.5, 0.3]], ids=str)
def test_a_clamped_logit_has_the_rounding_of_its_upper_edge(places: list[float], eps: float, dtype: torch.dtype) -> None:
    x = torch.tensor(places, dtype=dtype, requires_grad=True)
    graph = gradviz.trace(lambda x: torch.logit(x, eps).sum(), x)
    assert graph.check().nodes[0].verdict == "match", graph.check()
    value = graph.value(graph.node("a"))
    assert value is not None
    value[0] *= 1.01
    assert graph.check().nodes[0].verdict == "mismatch" or (eps == 1e-6 and dtype == torch.float32)
