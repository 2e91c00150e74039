"""The tables that `gradviz trace` prints."""

from __future__ import annotations

import math
import re

import pytest
import torch

import gradviz
from gradviz.check.table import report_text
from gradviz.cli.listing import listing, table
from gradviz.signs import with_minus_signs
from gradviz.view.notation import number_text


def test_a_long_graph_is_cut_in_the_middle_and_counted() -> None:
    y = torch.tensor(0.5, requires_grad=True)
    with gradviz.record() as tape:
        for _ in range(100):
            y = torch.sin(y)
    graph = tape.trace(y)
    text = listing(graph, 100, rows=20)
    assert "... 81 more; --all prints them" in text and "... 80 more; --all prints them" in text
    assert len(text.splitlines()) < 2 * 20 + 20
    whole = listing(graph)
    assert "more;" not in whole and sum(line.startswith("∂") for line in whole.splitlines()) == 100 + 1


def gradients_of(text: str) -> list[str]:
    return [line.split()[1] for line in text.partition("gradient\n")[2].splitlines() if line.startswith("∂")]


def test_of_many_gradients_the_largest_stand_in_their_order_and_the_others_are_counted() -> None:
    factors = [(7 * place) % 30 + 1.0 for place in range(30)]
    factors[3], factors[20] = math.inf, -50.0
    leaves = [torch.tensor(1.0, requires_grad=True) for _ in factors]
    graph = gradviz.trace(torch.stack([leaf * factor for leaf, factor in zip(leaves, factors, strict=True)]).sum())
    largest = sorted(factors, key=abs, reverse=True)
    told = listing(graph, 100, rows=5)
    assert gradients_of(told) == [number_text(factor) for factor in factors if factor in largest[:5]]
    assert f"... 25 more, the largest of norm {largest[5]:g}; --all prints them" in told.splitlines()
    assert gradients_of(listing(graph, 100)) == [number_text(factor) for factor in factors]
    assert max(map(len, listing(graph, 40, rows=5).splitlines())) <= 40


def test_gradients_that_none_reached_are_counted_among_those_left_out() -> None:
    x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    told = listing(gradviz.trace(KeepFirst.apply(x, y)), 100, rows=1)
    assert gradients_of(told) == ["3"] and told.endswith("... 1 more, 1 that none reached; --all prints them")


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


def encoder() -> gradviz.GradGraph:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    return gradviz.trace(layer, torch.randn(2, 5, 16), loss=lambda out: out.square().mean())


def quotient() -> gradviz.GradGraph:
    return gradviz.trace("z = x*y; log(z)*exp(z)/(1+tanh(x*y+z)^2)", x=2.0, y=3.0, device="cpu")


def long_names() -> gradviz.GradGraph:
    torch.manual_seed(0)
    attention, projection = (torch.randn(48, 16, requires_grad=True) for _ in range(2))
    tiny = torch.tensor([1.23456, 2.34567, 1e-7], requires_grad=True)

    def loss(encoder_attention_weight_first_layer, encoder_projection_weight_first_layer, tiny_vector_of_a_long_name):
        product = encoder_projection_weight_first_layer * encoder_attention_weight_first_layer.tanh()
        return product.sum() * 1e-8 * tiny_vector_of_a_long_name.square().sum()

    return gradviz.trace(loss, attention, projection, tiny)


def long_formula() -> gradviz.GradGraph:
    one, other = (f"a_variable_with_a_long_name_{letter}" for letter in "xy")
    text = f"exp({one})*0.123456*{other}^3/({one} + 2.71828*{other})"
    return gradviz.trace(text, at={one: 2.0, other: 3.0}, device="cpu")


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120])
@pytest.mark.parametrize("make", [encoder, quotient, long_names, long_formula])
def test_no_table_is_wider_than_the_terminal(make, columns: int) -> None:
    graph = make()
    report = graph.check()
    for text in (listing(graph, columns), report_text(report, columns)):
        assert max(map(len, text.splitlines())) <= columns, text


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_leaves_of_long_names_stay_distinct_and_their_numbers_whole(columns: int) -> None:
    graph = long_names()
    for text in (listing(graph, columns), report_text(graph.check(), columns)):
        table = text.split("\n\n")[0].splitlines()
        names = [line.split("  ")[0] for line in table[2:] if not line.startswith(("Not", "   "))]
        assert len({*names}) == len(names)
    rows = listing(graph, columns).splitlines()[2:]
    for name in graph.leaves:
        (row,) = (row for row in rows if re.fullmatch(row.split("  ")[0].replace("…", ".+"), name))
        assert row.endswith(f"norm {number_text(float(graph.gradients()[name].norm()))}")
    assert "1…" not in "".join(line for line in listing(graph, columns).splitlines() if "[1.2" in line)


def test_columns_for_which_there_is_no_room_are_named() -> None:
    graph = long_names()
    assert "Shortened to 60 columns, without call, line, contribution:" in " ".join(listing(graph, 60).split())
    assert "Not shown in 60 columns: formula, ULP, checked." in report_text(graph.check(), 60)


def test_how_many_rows_there_are_more_is_told_before_the_columns_that_are_left_out() -> None:
    text = "; ".join(f"a{place} = sin({f'a{place - 1}' if place else 'x'})" for place in range(60))
    told = report_text(gradviz.trace(f"{text}; a59 * x", x=0.5, device="cpu").check(), 60).split("\n\n")[0].splitlines()
    starts = [line[:3] for line in told]
    more, without = starts.index("..."), starts.index("Not")
    assert "✓" in told[more - 1] and more < without


def test_what_is_shortened_is_told_and_nothing_is_without_need() -> None:
    graph = encoder()
    narrow, whole = " ".join(listing(graph, 80, rows=60).split()), listing(graph)
    assert "Shortened to 80 columns" in narrow and "--all prints them" in narrow and " norm " in narrow
    assert "Shortened" not in whole and " norm " not in whole
    assert all(f"/∂{name}  " in listing(graph, 80) for name in graph.leaves)


def test_formulas_that_are_cut_in_a_check_stand_below_their_table() -> None:
    report = quotient().check()
    text = report_text(report, 80)
    for leaf in report.leaves:
        assert f"{leaf.name}: {with_minus_signs(leaf.formula)}" in " ".join(text.split())
    assert with_minus_signs(report.leaves[0].formula) in report_text(report, math.inf)
    assert "\n  x: " not in report_text(report, math.inf)


def test_numbers_that_do_not_match_keep_their_digits_where_others_are_rounded() -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, cotangent):
            return cotangent * 2.001234567

    a_very_long_name_of_a_leaf = torch.full((), 0.7, dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda a_very_long_name_of_a_leaf: Twice.apply(a_very_long_name_of_a_leaf).sin().exp(),
                           a_very_long_name_of_a_leaf).check()  # fmt: skip
    text = report_text(report, 60)
    assert "2.001234567 " in text and report.edges[1].autograd is not None
    assert f"{report.edges[1].autograd:.5g} " in text and repr(report.edges[1].autograd) not in text


def test_each_result_of_a_function_has_a_row_of_its_own() -> None:
    def loss(x: torch.Tensor) -> torch.Tensor:
        low, high = torch.aminmax(x)
        return low * high

    text = listing(gradviz.trace(loss, torch.tensor([1.0, 2.0, 3.0], requires_grad=True)))
    rows = [line.split()[:4] for line in text.splitlines()]
    assert ["low", "aminmax(x)", "1", "3"] in rows and ["high", "aminmax(x)", "3", "1"] in rows
    assert "[] × [3]" in text
