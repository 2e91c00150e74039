"""Where digits were lost is named: in a formula, in an addition, in a sum of contributions."""

from __future__ import annotations

import pytest
import sympy as sp

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
