"""The whole gradient as one formula, where a loop makes of few calls what nobody could write out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from sympy.logic.boolalg import Boolean
from torch import Tensor

import gradviz


def swung(x: Tensor) -> Tensor:
    """Each round uses the last one's result twice: after 28 rounds a formula names x some 268 million times."""
    for _ in range(28):
        x = x + torch.sin(x)
    return x


def test_a_formula_that_a_loop_makes_endless_is_left_out_and_the_gradient_is_checked_all_the_same() -> None:
    graph = gradviz.trace(swung, torch.tensor(0.1, dtype=torch.float64, requires_grad=True))
    (leaf,) = graph.check().leaves
    assert (leaf.verdict, leaf.method, leaf.formula) == ("match", "symbolic", "")


def test_an_explanation_says_that_an_endless_formula_is_too_long() -> None:
    graph = gradviz.trace(swung, torch.tensor(0.1, dtype=torch.float64, requires_grad=True))
    assert "the formula would be too long to read" in str(graph.explain("x"))


@pytest.mark.parametrize("elements", [2, 12])
def test_a_gradient_is_checked_where_its_formula_would_have_too_many_cases_or_a_nan_in_one(elements: int) -> None:
    x = torch.linspace(-1, 1, elements, dtype=torch.float64)[None].requires_grad_()
    graph = gradviz.trace(lambda x: F.normalize(torch.nan_to_num(x), dim=-1).diff(dim=-1).sum(), x)
    (leaf,) = graph.check().leaves
    assert (leaf.verdict, leaf.method, leaf.formula) == ("match", "symbolic", "")


def test_conditions_on_long_cases_are_not_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    def told_by_cases(x: Tensor) -> Tensor:
        return F.hardswish(torch.logit(torch.sigmoid(F.softplus(x)), eps=1e-3))

    solved = Boolean.as_set

    def solve_short(condition: Boolean) -> Any:
        return solved(condition) if condition.count_ops() < 3 else pytest.fail(f"sympy is to solve {condition}")

    monkeypatch.setattr(Boolean, "as_set", solve_short)
    graph = gradviz.trace(told_by_cases, torch.tensor(0.3, dtype=torch.float64, requires_grad=True))
    report = graph.check()
    assert report.verified and report.leaves[0].formula == "", report


@pytest.mark.parametrize(
    "text",
    [
        "tanh(sin((0.5 + sqrt(1 + z^2)) / (2 + cos(sqrt(1 + (z / (2 + cos(x)))^2))))) + x",
        "exp(asinh(exp(silu(z / (2 + cos(0.5))))))",
        "softplus(softplus(softplus(asinh(exp(asinh(pi - z^2))))))",
        "silu(((0.5 + silu(z))^3)^6)",
        "erf(asinh(2 / (2 + cos(silu(x)))) * sqrt(1 + softplus(0.5)^2))",
        "((((y^2)^2 + x / (2 + cos(z)) + z)^4)^3)^9",
    ],
)
def test_a_formula_that_sympy_would_multiply_out_for_hours_is_told_or_left_out(text: str) -> None:
    values = {name: value for name, value in {"x": 1.5, "y": -0.5, "z": 0.4}.items() if name in text.replace("exp", "")}
    report = gradviz.trace(text, at=values, device="cpu").check()
    assert {leaf.verdict for leaf in report.leaves} == {"match"} and len(report.leaves) == len(values)
