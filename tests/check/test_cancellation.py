"""Where digits were lost is named: in a formula, in an addition, in a sum of contributions."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import sympy as sp
import torch
from torch import Tensor

import gradviz
from gradviz.check.cancellation import lost_in_formula, lost_in_graph

C, X = sp.symbols("c x")


def test_the_sum_that_cancels_most_is_named_with_its_numbers() -> None:
    said = lost_in_formula((1 - C**2) * (X + 1), {"c": 0.9999, "x": -0.9})
    assert said.startswith("1 - c², where 1 - 0.9998 leaves")


def test_sums_of_numbers_of_like_size_lose_nothing() -> None:
    assert lost_in_formula(1 - C**2, {"c": 0.5}) == ""
    assert lost_in_formula(1 - C**2, {}) == ""


@pytest.mark.parametrize(
    ("text", "x", "where"),
    [
        ("(1 + x)^2 - 1 - 2x", 1e-9, "the sum of contributions into x, where terms of 2 and -2 leave 2e-09"),
        ("1/(1e16 + x - 1e16)", 3.0, "terms of 1e+16 and 1e+16 leave 4"),
        ("tanh(x)", 1.0, ""),
    ],
)
def test_a_graph_says_where_its_digits_went(text: str, x: float, where: str) -> None:
    graph = gradviz.trace(text, x=x, device="cpu")
    assert where in lost_in_graph(graph)
    assert bool(where) == bool(lost_in_graph(graph))


def test_a_report_says_where_the_digits_of_an_edge_and_of_a_gradient_went() -> None:
    edge = gradviz.trace("tanh(x)", x=20.0, device="cpu").check().edges[0]
    assert edge.finding == "cancellation"
    assert edge.reason.endswith("lost in 1 - a², where 1 - 1 leaves 0")
    leaf = gradviz.trace("(1 + x)^2 - 1 - 2x", x=1e-9, device="cpu").check().leaves[0]
    assert "7 of 16 digits are left" in leaf.reason
    assert "lost in the sum of contributions into x" in leaf.reason


@pytest.mark.parametrize(("x", "count"), [(1.0, 0), (1e-4, 0), (1e-9, 1)])
def test_a_summary_counts_the_matches_that_no_digit_supports(x: float, count: int) -> None:
    report = gradviz.trace("x - sin(x)", x=x, device="cpu").check()
    assert report.verified
    assert report.summary.count("cancellation left no digit") == count


class Gelu(torch.autograd.Function):
    """The tanh approximation, whose backward writes √(2/π) with six digits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        inner = torch.tanh(0.797884 * (x + 0.044715 * x**3))
        slope = 0.797884 * (1 + 3 * 0.044715 * x**2)
        return cotangents[0] * 0.5 * (1 + inner + x * (1 - inner**2) * slope)


def test_a_constant_of_few_digits_in_a_backward_is_told_as_such() -> None:
    x = torch.linspace(-2, 2, 40, dtype=torch.float64, requires_grad=True)
    (edge,) = (entry for entry in gradviz.trace(lambda x: Gelu.apply(x).sum(), x).check().edges if entry.backward)
    assert edge.verdict == "match"
    (off,) = re.findall(r"off by (\S+) of the true number, as by a constant that is written with few digits", edge.reason)
    assert 1e-8 < float(off) < 6e-5
    assert "cancellation" not in edge.reason
