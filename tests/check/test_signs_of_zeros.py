"""−0 where its sign decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport

SIGNS = [-0.0, 0.0, 1.0, -1.0, -0.0, 2.0]


def _leaf(*numbers: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(numbers, dtype=dtype, requires_grad=True)


def _report(function: Callable[..., Tensor], *at: Tensor) -> CheckReport:
    return gradviz.trace(function, *at).check()


@pytest.mark.parametrize("count", [3, 6])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_copysign_takes_the_sign_of_a_zero(count: int, dtype: torch.dtype) -> None:
    x, y = _leaf(*[3.0] * count, dtype=dtype), _leaf(*SIGNS[:count], dtype=dtype)
    report = _report(lambda x, y: torch.copysign(x, y).sum(), x, y)
    assert all(entry.verdict == "match" for entry in (*report.edges, *report.nodes)), report
    assert {leaf.reason.partition(",")[0] for leaf in report.leaves} == {"an argument of copysign holds −0"}


@pytest.mark.parametrize("sign", [torch.tensor(SIGNS), -0.0, torch.tensor(-0.0)], ids=["tensor", "number", "0-dim"])
def test_copysign_takes_the_sign_of_a_constant_zero(sign: Tensor | float) -> None:
    report = _report(
        lambda x: torch.copysign(x, torch.as_tensor(sign) if isinstance(sign, Tensor) else sign).sum(), _leaf(*[3.0] * 6)
    )
    assert report.verified, report


def test_the_formula_of_copysign_knows_the_sign_of_a_constant_zero() -> None:
    (edge, _) = _report(lambda x: torch.copysign(x, -0.0).sum(), _leaf(3.0, 4.0)).edges
    assert (edge.formula, edge.autograd) == ("-sign(x)", -1.0)


@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_a_custom_copysign_is_judged_by_the_sign_of_a_zero(factor: float) -> None:
    class Signed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, y: Tensor) -> Tensor:
            ctx.save_for_backward(x, y)
            return torch.copysign(x, y)

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, cotangent: Tensor) -> tuple[Tensor, Tensor]:
            x, y = ctx.saved_tensors
            return factor * cotangent * x.sign() * torch.where(y.signbit(), -1.0, 1.0), torch.zeros_like(y)

    report = _report(lambda x, y: Signed.apply(x, y).sum(), _leaf(*[3.0] * 6), _leaf(*SIGNS))
    assert report.edges[0].verdict == ("match" if factor > 0 else "mismatch"), report
