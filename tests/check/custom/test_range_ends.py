"""Hand-written backwards whose numbers leave the range of their dtype on the way: never accused, and no slip is passed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz

Forward = Callable[[Tensor], tuple[Tensor, tuple[Tensor, ...]]]


def _hand_written(forward: Forward, backward: Callable[..., Tensor], factor: float) -> Callable[[Tensor], Tensor]:
    class HandWritten(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            result, saved = forward(x)
            ctx.save_for_backward(*saved)
            return result

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return factor * backward(cotangent, *ctx.saved_tensors)

    return HandWritten.apply


def _spread(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    deviation = x - x.mean(-1, keepdim=True)
    spread = (deviation * deviation).mean(-1, keepdim=True).sqrt()
    return spread, (deviation, spread)


def _layer_norm(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    deviation = x - x.mean(-1, keepdim=True)
    scale = (deviation * deviation).mean(-1, keepdim=True).rsqrt()
    return deviation * scale, (deviation * scale, scale)


def _layer_norm_back(cotangent: Tensor, y: Tensor, scale: Tensor) -> Tensor:
    along = (cotangent * y).mean(-1, keepdim=True)
    return scale * (cotangent - cotangent.mean(-1, keepdim=True) - y * along)


def _norm(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    size = x.norm(dim=-1, keepdim=True)
    return size, (x, size)


def _std(x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    spread = x.std(-1, keepdim=True)
    return spread, (x - x.mean(-1, keepdim=True), spread)


FUNCTIONS: dict[str, tuple[Forward, Callable[..., Tensor]]] = {
    "spread": (_spread, lambda cotangent, deviation, spread: cotangent * deviation / (spread * deviation.shape[-1])),
    "layer norm": (_layer_norm, _layer_norm_back),
    "norm": (_norm, lambda cotangent, x, size: cotangent * x / size),
    "std": (_std, lambda cotangent, deviation, spread: cotangent * deviation / (spread * (deviation.shape[-1] - 1))),
}
EXPONENTS = {
    torch.float32: (-25.0, -22.5, -22.0, -21.0, 20.0),
    torch.float64: (-162.0, -156.0, 156.0),
}


def _verdict(
    name: str, dtype: torch.dtype, exponent: float, factor: float = 1.0, shape: tuple[int, int] = (4, 5)
) -> tuple[str, str]:
    drawn = torch.randn((*shape, 2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = (drawn[..., 0] * 10.0**exponent).to(dtype).requires_grad_()
    function = _hand_written(*FUNCTIONS[name], factor)
    graph = gradviz.trace(lambda x: (function(x) * drawn[..., 1].to(dtype)).sum(), x)
    found = graph.check()
    assert [node.reason for node in found.nodes if node.verdict == "mismatch"] == []
    (edge,) = (edge for edge in found.edges if graph.nodes[edge.edge[1]]["op"] == "HandWritten")
    return edge.verdict, edge.reason


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("dtype", "exponent"), [(dtype, one) for dtype, some in EXPONENTS.items() for one in some])
def test_a_right_formula_is_not_called_wrong_and_a_slip_is_not_passed(
    name: str, dtype: torch.dtype, exponent: float
) -> None:
    assert [_verdict(name, dtype, exponent, shape=shape)[0] for shape in ((4, 5), (3, 40))].count("mismatch") == 0
    assert [_verdict(name, dtype, exponent, factor)[0] for factor in (1.001, 2.0)].count("match") == 0


@pytest.mark.parametrize("name", ["spread", "layer norm", "norm"])
def test_digits_that_underflow_takes_are_told(name: str) -> None:
    verdict, reason = _verdict(name, torch.float32, -22.0)
    assert verdict == "unverified"
    assert re.search("underflow in float32: numbers on the way lie below 1.2e-38|overflow in float32", reason)


def test_an_overflow_on_the_way_is_told() -> None:
    verdict, reason = _verdict("norm", torch.float32, 20.0)
    assert verdict == "unverified"
    assert "a number on the way is beyond its range" in reason
    verdict, reason = _verdict("layer norm", torch.float64, 156.0)
    assert verdict == "unverified"
    assert "overflow in float64: numbers on the way lie beyond 1.8e+308" in reason


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_slip_shows_where_only_few_digits_are_lost(name: str) -> None:
    assert _verdict(name, torch.float32, -18.0, 1.001)[0] == "mismatch"
    assert _verdict(name, torch.float32, -18.0)[0] == "match"
