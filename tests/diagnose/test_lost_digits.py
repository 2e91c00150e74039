"""Differences of which rounding is left: told wherever nothing larger is added to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz

Loss = Callable[[Tensor], Tensor | tuple[Tensor, Tensor]]


def roots(x: Tensor) -> Tensor:
    """Of two numbers next to each other: in float32 one unit in the last place is left."""
    return (x + 1).sqrt() - x.sqrt()


def also_added(x: Tensor) -> tuple[Tensor, Tensor]:
    difference = roots(x)
    return difference, difference + x


def is_told(loss: Loss, shape: tuple[int, ...] = ()) -> bool:
    graph = gradviz.trace(loss, torch.full(shape, 1e7, requires_grad=True), device="cpu")
    return "cancellation" in [finding.kind for finding in graph.diagnose()]


@pytest.mark.parametrize("shape", [(), (1,)], ids=str)
@pytest.mark.parametrize(
    "loss",
    [
        roots,
        lambda x: 1000 * roots(x),
        lambda x: -roots(x) / 3,
        lambda x: roots(x).reshape(()),
        also_added,
    ],
    ids=["difference", "product", "quotient", "view", "one of two outputs"],
)
def test_a_difference_that_is_the_output_is_told(loss: Loss, shape: tuple[int, ...]) -> None:
    assert is_told(loss, shape)


def test_a_difference_that_is_added_to_far_larger_numbers_is_not_told_unless_they_are_divided_by_it() -> None:
    assert not is_told(lambda x: x + 1000 * roots(x))
    assert not is_told(lambda x: x + roots(x) / x)
    assert is_told(lambda x: x + (x * 1e-13) / roots(x))


@pytest.mark.parametrize(("share", "told"), [(0.75, False), (0.97, True)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_numbers_of_few_digits_agree_in_nearly_all_of_them_where_a_16th_is_left(
    dtype: torch.dtype, share: float, told: bool
) -> None:
    x = torch.linspace(1, 2, 50).to(dtype).requires_grad_()
    found = gradviz.trace(lambda: (x.sqrt() - x.sqrt() * share).square().mean(), device="cpu").diagnose()
    assert [finding.kind for finding in found] == ["cancellation"] * told
