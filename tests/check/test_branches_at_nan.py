"""Branches that are chosen by comparing, at NaN: nothing is true there, and nothing that torch gives is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gradviz
from gradviz.check import CheckReport

ZERO, ONE = torch.tensor(0.0), torch.tensor(1.0)
CHOOSING: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "clamp": lambda x: x.clamp(-1, 1),
    "clamp by tensors": lambda x: x.clamp(-ONE, ONE),
    "clamp from below": lambda x: x.clamp_min(0.0),
    "clamp by it": lambda x: torch.clamp(ONE, max=x),
    "clamp by NaN": lambda x: x.clamp(min=math.nan),
    "maximum": lambda x: torch.maximum(x, ZERO),
    "maximum, second": lambda x: torch.maximum(ZERO, x),
    "minimum": lambda x: torch.minimum(x, ZERO),
    "fmax, second": lambda x: torch.fmax(ZERO, x),
    "hard sigmoid": functional.hardsigmoid,
    "hard tanh": functional.hardtanh,
    "soft shrink": functional.softshrink,
    "hard shrink": functional.hardshrink,
    "sign of it": lambda x: torch.copysign(ONE, x),
    "xlogy": lambda x: torch.xlogy(ZERO, x),
    "amax": torch.amax,
    "amin": torch.amin,
    "max": torch.max,
    "median": torch.median,
    "aminmax": lambda x: x.aminmax()[0],
    "scattered amax": lambda x: torch.zeros(3).scatter_reduce(0, torch.arange(len(x)) % 3, x, "amax"),
}


def checked(function: Callable[[Tensor], Tensor], count: int, odd: float) -> CheckReport:
    numbers = [2.0, odd, -0.5, 0.3]
    x = torch.tensor((numbers * count)[:count], requires_grad=True)
    return gradviz.trace(lambda x: function(x).sum(), x).check()


@pytest.mark.parametrize("count", [3, 10, 100])
@pytest.mark.parametrize("name", CHOOSING)
def test_right_ops_are_not_wrong_at_nan(name: str, count: int) -> None:
    report = checked(CHOOSING[name], count, math.nan)
    assert not report.mismatches, report
    assert any(entry.finding == "undefined" for entry in (*report.edges, *report.nodes)), report


@pytest.mark.parametrize("count", [3, 10])
@pytest.mark.parametrize("name", ["relu", "clamp", "hard tanh", "soft shrink", "maximum"])
def test_infinity_is_compared_as_ever(name: str, count: int) -> None:
    report = checked(CHOOSING[name], count, math.inf)
    assert not report.mismatches and report.edges[0].verdict == "match", report


def test_beside_nan_a_wrong_element_is_still_wrong() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.relu()

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, *cotangents: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
            return cotangents[0] * 2 * (x > 0)

    assert checked(Doubled.apply, 3, math.nan).mismatches[0].name == "∂a/∂x"
