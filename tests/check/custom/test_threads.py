"""In how many threads custom functions are checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz

SEEN: list[int] = []


class Clamped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x.abs() <= 1.2, 0.5 * x * x, 1.2 * (x.abs() - 0.6)).reshape(-1).mean()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        SEEN.append(torch.get_num_threads())
        return cotangent * x.clamp(-1.2, 1.2) / x.numel()


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        SEEN.append(torch.get_num_threads())
        return cotangent @ x.T + x.T @ cotangent


@pytest.fixture
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize(("function", "threads"), [(Clamped, 1), (Squared, 2)])
def test_what_only_makes_small_passes_is_checked_in_one_thread(function: Any, threads: int) -> None:
    x = torch.tensor([[0.3, -2.0], [1.7, 0.4]], requires_grad=True)
    graph = gradviz.trace(lambda x: function.apply(x).sum(), x)
    SEEN.clear()
    assert graph.check().verified
    assert threads in SEEN
    assert torch.get_num_threads() == 2
