"""Custom Functions whose elements are made of thousands of numbers: each is followed to 50 digits only so far."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport
from gradviz.check.custom import ONE_BY_ONE, samples
from gradviz.symbolic import SymbolicTensor

SLIP = 1.001


def normed_layer(wrong: int | None) -> Any:
    """A linear layer behind an RMS norm, one of whose gradients may be too large by a tenth of a percent."""

    class NormedLayer(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, gain: Tensor, weight: Tensor) -> Tensor:
            scale = torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
            ctx.save_for_backward(x, gain, weight, scale)
            return (x * scale * gain) @ weight

        @staticmethod
        def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, ...]:
            (cotangent,) = cotangents
            x, gain, weight, scale = ctx.saved_tensors
            normed, of_scaled = x * scale, cotangent @ weight.T
            of_normed = of_scaled * gain
            found = [
                scale * (of_normed - normed * (of_normed * normed).mean(-1, keepdim=True)),
                (of_scaled * normed).sum(0),
                (normed * gain).T @ cotangent,
            ]
            return tuple(SLIP * one if place == wrong else one for place, one in enumerate(found))

    return NormedLayer


def attention(wrong: int | None) -> Any:
    class Attention(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            weights = torch.softmax(query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, -1)
            ctx.save_for_backward(query, key, value, weights)
            return weights @ value

        @staticmethod
        def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, ...]:
            (cotangent,) = cotangents
            query, key, value, weights = ctx.saved_tensors
            of_weights = cotangent @ value.transpose(-1, -2)
            of_scores = weights * (of_weights - (of_weights * weights).sum(-1, keepdim=True)) * query.shape[-1] ** -0.5
            found = [of_scores @ key, of_scores.transpose(-1, -2) @ query, weights.transpose(-1, -2) @ cotangent]
            return tuple(SLIP * one if place == wrong else one for place, one in enumerate(found))

    return Attention


def mean_of_squares(wrong: int | None) -> Any:
    class MeanOfSquares(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
            ctx.save_for_backward(x, y)
            return ((x - y) ** 2).mean()

        @staticmethod
        def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor, ...]:
            x, y = ctx.saved_tensors
            found = 2 * (x - y) / x.numel() * cotangents[0]
            return SLIP * found if wrong == 0 else found, SLIP * -found if wrong == 1 else -found

    return MeanOfSquares


CASES: dict[str, tuple[Callable[[int | None], Any], list[tuple[int, ...]]]] = {
    "normed layer": (normed_layer, [(64, 256), (256,), (256, 128)]),
    "attention": (attention, [(2, 32, 32)] * 3),
    "mean": (mean_of_squares, [(1024, 256)] * 2),
}


def checked(name: str, wrong: int | None) -> CheckReport:
    make, shapes = CASES[name]
    torch.manual_seed(0)
    inputs = [(torch.randn(shape) / shape[0] ** 0.25).requires_grad_() for shape in shapes]
    function = make(wrong)
    return gradviz.trace(lambda *inputs: function.apply(*inputs).square().mean(), *inputs, device="cpu").check()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many elements are asked for one by one, while the test runs."""
    count = [0]
    one = SymbolicTensor.__getitem__

    def counted(tensor: SymbolicTensor, index: tuple[int, ...]) -> Any:
        count[0] += 1
        assert count[0] < 10 * ONE_BY_ONE, "followed one by one"
        return one(tensor, index)

    monkeypatch.setattr(SymbolicTensor, "__getitem__", counted)
    return count


@pytest.mark.parametrize("name", CASES)
def test_a_right_one_matches_without_being_followed_one_by_one(name: str, made: list[int]) -> None:
    report = checked(name, None)
    assert report.verified and made[0] > 0
    assert {edge.method for edge in report.edges} == {"symbolic"}


@pytest.mark.parametrize(
    ("name", "wrong"), [(name, place) for name, (_, shapes) in CASES.items() for place in range(len(shapes))]
)
def test_a_slip_of_a_tenth_of_a_percent_is_found_on_its_edge(name: str, wrong: int) -> None:
    (edge,) = checked(name, wrong).mismatches
    assert edge.edge[2] == wrong and re.search(r"\(ratio 1\.001\)|is 1\.001 times the true derivative", edge.reason)


def test_what_is_made_of_too_many_numbers_even_at_once_is_left_to_torch_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "AT_ONCE", 1000)
    for name in ("ONE_BY_ONE", "AT_ONCE"):
        monkeypatch.setattr(f"gradviz.check.values.{name}", 1000)
    report = checked("normed layer", None)
    edges = [edge for edge in report.edges if edge.edge[1] == report.edges[0].edge[1]]
    assert [edge.verdict for edge in edges] == ["match"] * 3
    told = "8 of 8 sampled rows are made of too many numbers for sympy"
    assert all(edge.how.startswith(told) and edge.method == "numeric" for edge in edges)
    assert "made of more numbers than are followed one by one" in report.nodes[0].reason
    (edge,) = checked("normed layer", 2).mismatches
    assert edge.edge[2] == 2
