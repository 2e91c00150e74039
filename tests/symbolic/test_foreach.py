"""Calls on lists of tensors are verified as the calls on their i-th tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz

Lists = Callable[[list[Tensor], list[Tensor]], tuple[Tensor, ...]]
ON_LISTS: dict[str, Lists] = {
    "add": lambda a, b: torch._foreach_add(a, b, alpha=3.0),
    "add a number": lambda a, b: torch._foreach_add(a, 2.0),
    "add a tensor": lambda a, b: torch._foreach_add(a, torch.tensor(2.0, dtype=torch.float64), alpha=3.0),
    "addcdiv": lambda a, b: torch._foreach_addcdiv(a, b, b, 0.5),
    "addcmul": lambda a, b: torch._foreach_addcmul(a, b, a, value=2.0),
    "addcmul by numbers": lambda a, b: torch._foreach_addcmul(a, b, a, [1.0, 2.0]),
    "clamp_max": lambda a, b: torch._foreach_clamp_max(a, b),
    "exp": lambda a, b: torch._foreach_exp(a),
    "lerp": lambda a, b: torch._foreach_lerp(a, b, 0.3),
    "lerp by lists": lambda a, b: torch._foreach_lerp(a, b, a),
    "maximum of numbers": lambda a, b: torch._foreach_maximum(a, 0.5),
    "mul": lambda a, b: torch._foreach_mul(a, b),
    "mul by numbers": lambda a, b: torch._foreach_mul(a, [2.0, 3.0]),
    "norm": lambda a, b: torch._foreach_norm(a),
    "norm of one": lambda a, b: torch._foreach_norm(a, 1),
    "pow": lambda a, b: torch._foreach_pow(a, 3.0),
    "pow of a number": lambda a, b: torch._foreach_pow(2.0, a),
    "sqrt": lambda a, b: torch._foreach_sqrt(a),
}


def two_lists() -> tuple[Tensor, Tensor]:
    first = torch.tensor([0.3, 0.7, 1.1], dtype=torch.float64, requires_grad=True)
    return first, torch.tensor([[0.2, 0.9], [0.6, 1.3]], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("name", ON_LISTS)
def test_lists_are_verified_with_values_and_whole_gradients(name: str) -> None:
    def total(first: Tensor, second: Tensor) -> Tensor:
        made = ON_LISTS[name]([first, second], [first * 2, second.exp()])
        return sum((one.square().sum() for one in made), torch.zeros((), dtype=torch.float64))

    report = gradviz.trace(total, *two_lists()).check()
    found = (*report.edges, *report.nodes, *report.leaves)
    assert all(entry.verdict == "match" and entry.method == "symbolic" for entry in found), report


def test_writes_to_lists_are_unverified_with_the_reason() -> None:
    def total(first: Tensor, second: Tensor) -> Tensor:
        made = [first * 1, second * 1]
        torch._foreach_mul_(made, 2.0)
        return made[0].square().sum() + made[1].exp().sum()

    report = gradviz.trace(total, *two_lists()).check()
    unverified = [edge for edge in report.edges if edge.verdict != "match"]
    assert len(unverified) == 2 and all(
        "aten._foreach_mul_.Scalar writes to tensors of a list" in e.reason for e in unverified
    )
