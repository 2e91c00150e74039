"""Custom Functions that choose among what ties: shares are judged as a whole, and a wrong one is named with its line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.testing import assert_gradients

TIED = [1.0, 3.0, 3.0]


class Largest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.amax(-1)
        ctx.save_for_backward(x, y)
        return y


class Doubled(Largest):
    """Gives the whole gradient to each of those that tie."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, y = ctx.saved_tensors
        return cotangent[..., None] * (x == y[..., None])


class Shared(Largest):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, y = ctx.saved_tensors
        mask = (x == y[..., None]).to(x.dtype)
        return cotangent[..., None] * mask / mask.sum(-1, keepdim=True)


class Unevenly(Largest):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent[..., None] * torch.tensor([0.0, 0.25, 0.75])


class Last(Largest):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent[..., None] * torch.tensor([0.0, 0.0, 1.0])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    ("function", "verdict"), [(Doubled, "mismatch"), (Shared, "match"), (Unevenly, "match"), (Last, "match")]
)
def test_what_ties_may_be_shared_out_and_not_doubled(function: Any, verdict: str, rows: int) -> None:
    x = torch.tensor(TIED if rows == 1 else [TIED] * rows, requires_grad=True)
    report = gradviz.trace(lambda x: function.apply(x).sum(), x).check()
    assert report.edges[0].verdict == verdict
    if verdict == "mismatch":
        assert "not all of them together" in report.edges[0].how


class OneOfMany(Largest):
    """Gives all to the last of those that tie, and of a third of it an equal share to each."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, y = ctx.saved_tensors
        tied = (x == y[..., None]).to(x.dtype)
        last = tied * (tied.flip(-1).cumsum(-1).flip(-1) == 1)
        return cotangent[..., None] * (2 * last + tied / tied.sum(-1, keepdim=True)) / 3


class NoneOfMany(Largest):
    """Gives nothing to those that tie."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, y = ctx.saved_tensors
        tied = (x == y[..., None]).to(x.dtype)
        return cotangent[..., None] * tied * (tied.sum(-1, keepdim=True) == 1)


@pytest.mark.parametrize("shape", [(8, 5), (70, 60)], ids=["small", "large"])
@pytest.mark.parametrize(
    ("function", "verdict"), [(OneOfMany, "match"), (Shared, "match"), (Doubled, "mismatch"), (NoneOfMany, "mismatch")]
)
def test_ties_of_many_rows_are_judged_in_each_row_that_is_looked_at(function: Any, verdict: str, shape: Any) -> None:
    x = torch.randint(-2, 3, shape, generator=torch.Generator().manual_seed(1)).float().requires_grad_()
    (edge, *_) = gradviz.trace(lambda x: function.apply(x).exp().sum(), x).check().edges
    assert edge.verdict == verdict, edge.reason
    assert verdict == "mismatch" or "tie in amax" in edge.reason


def test_a_slip_in_a_smooth_function_of_many_elements_is_not_put_down_to_a_kink() -> None:
    """Some of these slopes are all but 0, and change much where all elements move by as much as all of them together."""

    class Mean(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.sin().mean()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
            (x,) = ctx.saved_tensors
            return cotangent * 1.001 * x.cos() / x.numel()

    x = torch.randn(20_000, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (edge,) = gradviz.trace(Mean.apply, x, device="cpu").check().edges
    assert edge.verdict == "mismatch" and "kink" not in edge.how


def test_a_mismatch_names_the_class_and_the_line_of_its_backward() -> None:
    line = Doubled.backward.__code__.co_firstlineno + 1  # below @staticmethod
    x = torch.tensor(TIED, requires_grad=True)
    report = gradviz.trace(lambda x: Doubled.apply(x), x).check()
    assert report.edges[0].backward == f"Doubled.backward at test_custom_ties.py:{line}"
    assert report.to_dict()["edges"][0]["backward"] == report.edges[0].backward
    assert f"Doubled.backward at test_custom_ties.py:{line}" in str(report)
    assert "Doubled.backward() gives 1" in report.edges[0].reason
    with pytest.raises(AssertionError) as found:
        assert_gradients(Doubled.apply, x)
    assert "the backward pass of Doubled is wrong" in str(found.value)
    assert f"through x of Doubled; Doubled.backward at test_custom_ties.py:{line}" in str(found.value)
