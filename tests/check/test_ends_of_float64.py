"""Float64 at the ends of its range: steps of torch's kernels that overflow or underflow there are no mismatch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gradviz

TINY = torch.finfo(torch.float64).tiny
AT_THE_ENDS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float]] = {
    "atan2": (torch.atan2, 3 * TINY),
    "atan2 below the normal numbers": (torch.atan2, 0.02 * TINY),
    "pow": (lambda x, y: x.abs() ** y, 3 * TINY),
    "div": (lambda x, y: x / y, 0.3 * TINY),
    "sigmoid": (lambda x, y: torch.sigmoid(x), 720.0),
    "silu": (lambda x, y: F.silu(x), 720.0),
    "mish": (lambda x, y: F.mish(x), 720.0),
    "logaddexp": (torch.logaddexp, 500.0),
}


@pytest.mark.parametrize("name", AT_THE_ENDS)
@pytest.mark.parametrize("repeated", [1, 700])
def test_steps_that_leave_the_range_are_no_mismatch(name: str, repeated: int) -> None:
    function, scale = AT_THE_ENDS[name]
    numbers = torch.tensor([1.0, -1.0, 0.7, -0.995, 1.4], dtype=torch.float64)
    x, y = ((one * scale).repeat(repeated).requires_grad_() for one in (numbers, -0.5 * numbers))
    report = gradviz.trace(lambda x, y: function(x, y).sum(), x, y).check()
    assert "mismatch" not in {found.verdict for found in (*report.edges, *report.nodes, *report.leaves)}, report


class Logistic(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        result = 1 / (1 + torch.exp(-x))
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (result,) = ctx.saved_tensors
        return 1.001 * cotangent * result * (1 - result)


def test_a_slip_beside_a_number_that_leaves_the_range_is_found() -> None:
    x = torch.tensor([0.3, -720.0, 2.0], dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x: Logistic.apply(x).square().sum(), x).check()
    assert [edge.name for edge in report.edges if edge.verdict == "mismatch"] == ["∂result/∂x"], report
