"""Hypothesis chooses an op, the shapes and strides of its arguments and a dtype: every edge matches, whatever they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.nn import functional

import gradviz
from gradviz.check import EdgeCheck

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]

OF_ONE: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "exp": torch.exp,
    "gelu": functional.gelu,
    "root": lambda x: (x.abs() + 0.5).sqrt(),
    "sum of rows": lambda x: x.sum(-1),
    "sum of columns": lambda x: x.sum(0, keepdim=True),
    "running sum": lambda x: x.cumsum(-1),
    "softmax": lambda x: torch.softmax(x, -1),
    "log-softmax": lambda x: torch.log_softmax(x, 0),
    "norm": lambda x: torch.linalg.vector_norm(x + 3),
    "flat": lambda x: x.reshape(-1),
    "flipped": lambda x: x.flip(0),
    "twice": lambda x: torch.cat([x, x * 2], -1),
    "stacked": lambda x: torch.stack([x, x.cos()]),
    "rows chosen": lambda x: x[torch.zeros(2, dtype=torch.int64)] if x.shape[0] else x,
    "with itself": lambda x: x @ x.mT if x.ndim > 1 else x @ x,
    "clamped": lambda x: x.clamp(-0.7, 0.3),
}
NOT_OF_NOTHING: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.mean(-1),
    "largest": lambda x: x.amax(-1),
    "log of the sum of exponentials": lambda x: torch.logsumexp(x, 0),
    "layer norm": lambda x: functional.layer_norm(x, x.shape[-1:], eps=0.5),
    "variance": lambda x: x.var(-1, correction=0),
    "median": lambda x: x.contiguous().median(-1).values,  # of stride 0, torch 2.13's reads beyond the memory
}
OF_TWO: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "product": torch.mul,
    "difference": torch.sub,
    "quotient": lambda x, y: x / (y.abs() + 1),
    "maximum": torch.maximum,
    "angle": lambda x, y: torch.atan2(x, y.abs() + 1),
    "power": lambda x, y: (x.abs() + 0.5) ** y,
    "chosen": lambda x, y: torch.where(x > y, x, y * 2),
    "interpolated": lambda x, y: torch.lerp(x, y, 0.3),
}
STRIDES = ["plain", "transposed", "expanded", "every second", "from the middle"]
SIZES = st.sampled_from([0, 1, 1, 2, 3])


def numbers(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """Numbers of size 1/4 to 1 and either sign."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
    return ((drawn * 0.75 + 0.25) * torch.sign(drawn * 7 % 1 - 0.4)).to(dtype)


def leaf_and_view(
    shape: tuple[int, ...], strides: str, dtype: torch.dtype, seed: int
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """A leaf, and how a tensor of `shape` with such strides is had from it."""
    if strides == "transposed":
        return numbers(shape[::-1], dtype, seed), lambda leaf: leaf.permute(*reversed(range(len(shape))))
    if strides == "expanded":
        return numbers((1, *shape[1:]), dtype, seed), lambda leaf: leaf.expand(shape)
    if strides == "every second":
        return numbers((*shape[:-1], 2 * shape[-1]), dtype, seed), lambda leaf: leaf[..., ::2]
    if strides == "from the middle":  # a leaf that is not contiguous and does not begin where its storage does
        return numbers((shape[0] + 2, *shape[1:], 2), dtype, seed)[1:-1, ..., 1], lambda leaf: leaf
    return numbers(shape, dtype, seed), lambda leaf: leaf


def assert_verified(run: Callable[..., Tensor], *leaves: Tensor) -> None:
    for leaf in leaves:
        leaf.requires_grad_()
    report = gradviz.trace(lambda *leaves: run(*leaves).square().sum(), *leaves).check()
    assert not report.mismatches, report
    wide = all(leaf.dtype in (torch.float64, torch.float32) for leaf in leaves)
    for entry in (*report.edges, *report.nodes):
        told = entry.finding in ("rounding", "cancellation")  # in half precision there may be no digits left
        assert entry.verdict == "match" or (told and not wide), report


SHAPES = st.lists(SIZES, min_size=1, max_size=3).map(tuple)
SEEDS = st.integers(0, 100)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=25, deadline=None)
@given(data=st.data(), shape=SHAPES, strides=st.sampled_from(STRIDES), seed=SEEDS)
def test_an_op_of_any_shape_and_strides_is_verified(
    dtype: torch.dtype, data: st.DataObject, shape: tuple[int, ...], strides: str, seed: int
) -> None:
    functions = OF_ONE if 0 in shape else OF_ONE | NOT_OF_NOTHING
    function = functions[data.draw(st.sampled_from(sorted(functions)))]
    leaf, view = leaf_and_view(shape, strides, dtype, seed)
    assert_verified(lambda leaf: function(view(leaf)), leaf)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(OF_TWO)),
    shape=SHAPES,
    ones=st.lists(st.booleans(), min_size=3, max_size=3),
    strides=st.tuples(st.sampled_from(STRIDES), st.sampled_from(STRIDES)),
    fewer=st.integers(0, 2),
    seed=SEEDS,
)
def test_an_op_of_two_that_are_broadcast_is_verified(
    dtype: torch.dtype,
    name: str,
    shape: tuple[int, ...],
    ones: list[bool],
    strides: tuple[str, str],
    fewer: int,
    seed: int,
) -> None:
    other = tuple(1 if one else size for size, one in zip(shape, ones, strict=False))[min(fewer, len(shape) - 1) :]
    left, view_left = leaf_and_view(shape, strides[0], dtype, seed)
    right, view_right = leaf_and_view(other, strides[1], dtype, seed + 1)
    assert_verified(lambda left, right: OF_TWO[name](view_left(left), view_right(right)), left, right)


class Slipped(torch.autograd.Function):
    """sin x, with a factor too much in the backward: the part that a dtype can tell."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return cotangent * x.cos() * (1.001 if x.dtype in (torch.float64, torch.float32) else 1.5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(max_examples=8, deadline=None)
@given(shape=SHAPES.filter(lambda shape: 0 not in shape), strides=st.sampled_from(STRIDES), seed=SEEDS)
def test_a_slip_is_found_in_any_shape(dtype: torch.dtype, shape: tuple[int, ...], strides: str, seed: int) -> None:
    leaf, view = leaf_and_view(shape, strides, dtype, seed)
    graph = gradviz.trace(lambda leaf: Slipped.apply(view(leaf)).square().sum(), leaf.requires_grad_())
    wrong = [entry for entry in graph.check().mismatches if isinstance(entry, EdgeCheck)]
    assert [graph.nodes[entry.edge[1]]["op"] for entry in wrong] == ["Slipped"]
