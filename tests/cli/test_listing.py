"""The tables that `gradviz trace` prints."""

from __future__ import annotations

import math

import torch

import gradviz
from gradviz.cli.listing import ROWS, listing, table


def test_a_long_graph_is_cut_in_the_middle_and_counted() -> None:
    y = torch.tensor(0.5, requires_grad=True)
    with gradviz.record() as tape:
        for _ in range(100):
            y = torch.sin(y)
    text = listing(tape.trace(y))
    assert f"... {101 - ROWS} more; --json has all" in text
    assert f"... {100 - ROWS} more; --json has all" in text
    assert len(text.splitlines()) < 2 * ROWS + 20


class KeepFirst(torch.autograd.Function):
    """x * y, whose backward forgets y."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(y)
        return x * y

    @staticmethod
    def backward(ctx, cotangent):
        return cotangent * ctx.saved_tensors[0], None


def test_a_leaf_without_gradient_is_said_to_have_none() -> None:
    x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    assert "none reached it" in listing(gradviz.trace(KeepFirst.apply(x, y)))


def test_a_cut_says_why() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    assert "cut: " in listing(gradviz.trace(lambda x: x * x.detach(), x))


def test_a_column_without_anything_in_it_is_left_out() -> None:
    assert table(("a", "b", "c"), [("1", "", "3"), ("4", "", "6")]) == "a  c\n─  ─\n1  3\n4  6"


def test_a_table_without_rows_is_its_header() -> None:
    assert table(("a", "b"), []) == "a\n─"


def test_formulas_are_cut_only_where_there_is_no_room() -> None:
    names = [f"a_variable_with_a_long_name_{letter}" for letter in "xy"]
    graph = gradviz.trace(f"exp({names[0]})/{names[1]}", at=dict.fromkeys(names, 1.0), device="cpu")
    partials = [listing(graph, columns).split("\n\n")[1] for columns in (math.inf, 80)]
    assert "…" not in partials[0].partition("formula")[2]
    assert "…" in partials[1]
    assert max(map(len, partials[1].splitlines())) < max(map(len, partials[0].splitlines()))
