"""A kink excuses the elements that lie on it, and no others: what is 0.1 % wrong beside it is a mismatch."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport


class SlightlyWrongSwish(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, cotangent: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return cotangent * 1.001 * (s + x * s * (1 - s))


def hooked(x: Tensor) -> Tensor:
    y = x * 1.0
    y.register_hook(lambda cotangent: cotangent * torch.tensor([1.0, 1.0, 1.0, 1.001], dtype=cotangent.dtype))
    return y.max() + (y * y).sum()


WRONG: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "beside a relu at 0": (lambda x: SlightlyWrongSwish.apply(torch.relu(x)).sum(), [0.0, 1.0, -1.0, 2.0]),
    "beside an abs at 0": (lambda x: SlightlyWrongSwish.apply(x.abs()).sum(), [1.0, 0.0, -1.0, 2.0]),
    "beside the edge of a clamp": (lambda x: SlightlyWrongSwish.apply(x.clamp(-1, 1)).sum(), [1.0, 0.5, -1.0, 0.3]),
    "a hook beside a tie": (hooked, [1.0, 1.0, -1.0, 0.2]),
}
RIGHT: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "relu at 0": (lambda x: (torch.relu(x) * x).sum() + torch.relu(x - x.detach()).sum(), [0.0, 1.0, -1.0, 2.0]),
    "abs at 0": (lambda x: (x.abs() * x.sum()).sum(), [0.0, 1.0, -1.0, 2.0]),
    "ties in max": (lambda x: (x * x.max()).sum() + torch.maximum(x, x.flip(0)).sum(), [2.0, 2.0, -1.0, 2.0]),
    "edges of clamp": (lambda x: (x.clamp(0, 1) * x).sum(), [0.0, 1.0, -1.0, 0.4]),
    "a sign that rounding decides": (lambda x: (x[0] * 3 - 0.3).sign() * x[1] * x[2], [0.1, 1.0, -1.0, 0.4]),
    "relus of sums": (lambda x: torch.relu(x.reshape(2, 2) @ x.reshape(2, 2)).sum(), [0.0, 0.0, -1.0, 2.0]),
}


def checked(function: Callable[[Tensor], Tensor], numbers: list[float], dtype: torch.dtype) -> CheckReport:
    return gradviz.trace(function, torch.tensor(numbers, dtype=dtype, requires_grad=True), device="cpu").check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", WRONG)
def test_whole_gradient_is_judged_beside_a_kink(name: str, dtype: torch.dtype) -> None:
    function, numbers = WRONG[name]
    (leaf,) = checked(function, numbers, dtype).leaves
    assert leaf.verdict == "mismatch"
    assert re.search(r"\(ratio 1\.001\)|is 1\.001 times the true derivative", leaf.reason)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", RIGHT)
def test_healthy_code_with_kinks_is_not_wrong(name: str, dtype: torch.dtype) -> None:
    function, numbers = RIGHT[name]
    report = checked(function, numbers, dtype)
    assert report.ok, report


def test_a_jump_elsewhere_leaves_what_it_multiplies_unverified() -> None:
    class Turned(torch.autograd.Function):
        """Its backward takes the other side of a sign at 0."""

        @staticmethod
        def forward(ctx, side: Tensor, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            return side.sign() * x

        @staticmethod
        def backward(ctx, cotangent: Tensor) -> tuple[None, Tensor]:  # type: ignore[no-untyped-def]
            return None, cotangent

    (leaf,) = checked(lambda x: Turned.apply(x[0], x[1]) + x[0], [0.0, 1.0], torch.float64).leaves
    assert leaf.verdict == "unverified"
