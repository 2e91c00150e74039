"""A check report as HTML tables."""

from __future__ import annotations

import re

import torch

from gradviz import trace
from gradviz.app.tables import ROWS, check_tables
from gradviz.check import CheckReport, EdgeCheck, NodeCheck


def edge(name: str, **fields: object) -> EdgeCheck:
    return EdgeCheck(**{"name": name, "verdict": "match", "edge": (0, 1, 0), "autograd": 1.0} | fields)  # type: ignore[arg-type]


def test_a_long_gradient_formula_is_there_in_full() -> None:
    report = trace("tanh(ln(1 + z*2x/sin y)) * exp(x*y*z) + cos(x/y)*sqrt(z)", x=1.0, y=2.0, z=3.0).check()
    longest = max((entry.formula for entry in report.leaves), key=len)
    assert len(longest) > 80
    assert longest.replace("-", "−") in check_tables(report)


def test_names_cannot_add_markup() -> None:
    tables = check_tables(CheckReport(edges=(edge("<b>x</b>", formula="a < b", reason="<script>"),)))
    assert "&lt;b&gt;x&lt;/b&gt;" in tables and "a &lt; b" in tables and "<script>" not in tables


def test_what_differs_looks_different() -> None:
    tables = check_tables(CheckReport(edges=(edge("e", autograd=0.1 + 0.2, reference=0.3, verdict="mismatch"),)))
    assert re.findall(r'class="(?:autograd|sympy)"[^>]*>([^<]*)<', tables) == ["0.30000000000000004", "0.3"]
    assert "✗ mismatch" in tables


def test_values_and_sums_are_listed_only_where_they_do_not_match() -> None:
    right, wrong = (NodeCheck(name=f"n{verdict}", verdict=verdict, node=1) for verdict in ("match", "mismatch"))  # type: ignore[arg-type]
    tables = check_tables(CheckReport(edges=(edge("e"),), nodes=(right, wrong)))
    assert "nmismatch" in tables and "nmatch" not in tables


def test_of_very_many_edges_those_that_do_not_match_stay() -> None:
    entries = [edge(f"e{place}") for place in range(3 * ROWS)]
    entries[-1] = edge("last", verdict="mismatch")
    tables = check_tables(CheckReport(edges=tuple(entries)))
    assert tables.count('<td class="name" ') == ROWS
    assert "last" in tables and f"and {2 * ROWS} more that match" in tables


def test_how_much_was_looked_at_is_said_where_it_is_not_all() -> None:
    assert "8 of 1,000 elements" in check_tables(CheckReport(edges=(edge("e", checked=8, total=1000),)))
    assert "elements" not in check_tables(trace(lambda x: (x * x).sum(), torch.ones(3, requires_grad=True)).check())


def test_what_numbers_are_of_is_said_where_they_are_not_of_the_derivative_itself() -> None:
    tables = check_tables(CheckReport(edges=(edge("e", index=(3, 26), quantity="VJP"), edge("f", quantity="slope"))))
    assert re.findall(r"<small>(.*?)</small>", tables) == ["at [3, 26] of a VJP", "of a slope"]


def test_what_an_error_in_ulp_is_stands_above_the_tables() -> None:
    note, table, _ = check_tables(CheckReport(edges=(edge("e"),))).partition("<table")
    assert table and "units in the last" in note
    assert check_tables(CheckReport(edges=())).endswith("</style>")


def test_elements_are_written_with_their_index() -> None:
    report = trace("norm(sigmoid(A @ x + b_0))", A=[[1.0, -2.0], [0.5, 0.25]], x=[0.5, -1.0], b_0=0.1).check()
    formulas = [entry.formula for entry in report.leaves]
    assert all(name in formulas[0] for name in ("A[0, 1]", "x[1]", "b_0")) and not re.search(r"A_|x_", formulas[0])
    assert "A[0, 1]·x[1]" in check_tables(report)
