"""Writes through views and literals inside a custom forward lead from its arguments to its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.testing import assert_gradients

COUNT = torch.ones(4)


def function_of(forward: Callable[..., Any], backward: Callable[..., Any]) -> Any:
    """The `apply` of a custom Function of a forward and a backward."""
    given = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Own", (torch.autograd.Function,), given).apply  # type: ignore[attr-defined]


def scaled_first(ctx: Any, x: Tensor) -> Tensor:
    y = x.clone()
    y[0] *= 2
    return y


def scaled_first_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    return cotangent * torch.tensor([2.0, 1.0, 1.0, 1.0])


def into_zeros(ctx: Any, x: Tensor) -> Tensor:
    ctx.save_for_backward(x)
    out = torch.zeros(6)
    out[1:5] = x * x
    return out


def into_zeros_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return cotangent[1:5] * 2 * x


def base_written_view_read(ctx: Any, x: Tensor) -> Tensor:
    ctx.save_for_backward(x)
    y = x * 1
    view = y[1:]
    y.mul_(3)
    return view * view


def base_written_view_read_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return torch.cat([torch.zeros(1), cotangent * 18 * x[1:]])


def detached_transpose_written(ctx: Any, x: Tensor) -> Tensor:
    ctx.save_for_backward(x)
    y = x * x
    y.view(2, 2).t().detach()[0] += x[0]
    return y.clone()


def detached_transpose_written_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    found = cotangent * 2 * x
    found[0] += cotangent[0] + cotangent[2]
    return found


def filled_by_mask(ctx: Any, x: Tensor) -> Tensor:
    ctx.save_for_backward(x)
    out = torch.zeros(4)
    out[x > 0] = 0.5
    out[x <= 0] = -0.5
    return out * x


def filled_by_mask_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return cotangent * torch.where(x > 0, 0.5, -0.5)


def counted_outside(ctx: Any, x: Tensor) -> Tensor:
    COUNT.add_(1)
    ctx.count = COUNT.clone()
    return x * COUNT


def counted_outside_backward(ctx: Any, cotangent: Tensor) -> Any:
    return cotangent * ctx.count


def times_literal(ctx: Any, x: Tensor) -> Tensor:
    return x * torch.tensor(3.0)


def times_literal_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    return 3 * cotangent


def literal_target(ctx: Any, x: Tensor) -> Tensor:
    ctx.save_for_backward(x)
    return nn.functional.cross_entropy(x.view(2, 2), torch.tensor([0, 1]))


def literal_target_backward(ctx: Any, cotangent: Tensor) -> Tensor:
    (x,) = ctx.saved_tensors
    return (cotangent * (x.view(2, 2).softmax(1) - torch.eye(2)) / 2).view(4)


CASES = [
    (scaled_first, scaled_first_backward),
    (into_zeros, into_zeros_backward),
    (base_written_view_read, base_written_view_read_backward),
    (detached_transpose_written, detached_transpose_written_backward),
    (filled_by_mask, filled_by_mask_backward),
    (counted_outside, counted_outside_backward),
    (times_literal, times_literal_backward),
    (literal_target, literal_target_backward),
]


@pytest.mark.parametrize(("forward", "backward"), CASES, ids=[forward.__name__ for forward, _ in CASES])
def test_what_a_forward_writes_is_followed_symbolically(forward: Any, backward: Any) -> None:
    x = torch.tensor([0.5, -1.25, 2.0, -0.75], requires_grad=True)
    report = assert_gradients(function_of(forward, backward), x)
    assert report.verified and [edge.method for edge in report.edges] == ["symbolic"]
    with pytest.raises(AssertionError, match="is wrong on 1 of 1 edge"):
        assert_gradients(function_of(forward, lambda ctx, cotangent: backward(ctx, cotangent) * 1.001), x)


def test_a_literal_in_a_forward_is_no_node_of_its_own() -> None:
    x = torch.ones(2, requires_grad=True)
    apply = function_of(times_literal, times_literal_backward)
    with gradviz.record() as tape:
        loss = apply(x).sum()
    graph = tape.trace(loss)
    assert [graph.nodes[node]["kind"] for node in graph] == ["leaf", "op", "op"]


def test_a_view_of_memory_that_begins_later_is_found() -> None:
    memory = torch.zeros(6)

    def forward(ctx: Any, x: Tensor) -> Tensor:
        part = memory[2:]
        part.copy_(x)
        part[1:3].mul_(part[0])
        ctx.save_for_backward(x)
        return memory.clone()

    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        own = cotangent[2:] * torch.stack([torch.ones(()), x[0], x[0], torch.ones(())])
        own[0] += cotangent[3] * x[1] + cotangent[4] * x[2]
        return own

    x = torch.tensor([0.5, -1.25, 2.0, -0.75], requires_grad=True)
    assert assert_gradients(function_of(forward, backward), x).edges[0].method == "symbolic"
