"""Hostile text: it is refused with an `ExpressionError`, quickly, whatever it holds."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradviz.errors import ExpressionError
from gradviz.expression import BinaryOp, Expression, Node, Number, evaluate, parse
from gradviz.expression.functions import SPELLINGS
from gradviz.expression.limits import MAX_EXPONENT, MAX_NESTING, MAX_NODES, MAX_TEXT_CHARACTERS

LONGEST_CPU_S = 3.0  # a hundred times what the slowest accepted text takes; a hang takes for ever


def within_time(text: str, variables: Sequence[str] | None = None) -> Expression | ExpressionError:
    started = time.thread_time()  # that of this thread alone: a busy machine is not slow text
    try:
        return parse(text, variables=variables)
    except ExpressionError as error:
        assert 1 <= error.column <= len(text) + 1
        return error
    finally:
        assert time.thread_time() - started < LONGEST_CPU_S, text[:100]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9^9^9^9", "the exponent 387420489 at column 5 is too large; accepted are exponents up to 1000"),
        ("2^(10^9)", "the exponent 1000000000 at column 3 is too large"),
        ("x^(-10^9)", "the exponent -1000000000 at column 3 is too large"),
        ("n = 10^9; x^n", "the exponent 1000000000 at column 13 is too large"),
        ("a = 9^300; b = a^300; b^300", "the constant a³⁰⁰ at column 16 is too large"),
        ("(" * 100_000, "the text has 100000 characters; up to column 10000 is accepted"),
        ("x" * 1_000_000, "the text has 1000000 characters"),
        ("(" * 5_000 + "x", "more than 64 levels of nesting at column 65; give parts a name"),
        ("-" * 5_000 + "x", "more than 64 levels of nesting at column 65"),
        ("x^" * 4_000 + "x", "more than 64 levels of nesting at column 130"),
        ("sin " * 2_000 + "x", "more than 64 levels of nesting"),
        ("sin(" * 2_000, "more than 64 levels of nesting"),
        ("|" * 5_000, "more than 64 levels of nesting"),
        ("where(x>0,1," * 800, "more than 64 levels of nesting"),
        ("x+" * 4_999 + "x", "more than 4000 operations and operands at column 4001"),
        ("x " * 4_999, "more than 4000 operations and operands at column"),
        ("x" + "²" * 9_000, "the superscript at column 2 has 9000 characters; at most 64 are accepted"),
        ("x" + ".T" * 4_900, "more than 4000 operations and operands at column"),
        ("z=x;" * 2_000, "'z' is defined a second time at column 5"),
        ("a" * 9_999, "the name at column 1 has 9999 characters; at most 64 are accepted"),
        ("1" * 9_999, "the number at column 1 has 9999 characters; at most 64 are accepted"),
        ("max(" + "x," * 4_000 + "x)", "more than 4000 operations and operands"),
    ],
)
def test_hostile_text_is_refused_quickly(text: str, message: str) -> None:
    refusal = within_time(text)
    assert isinstance(refusal, ExpressionError)
    with pytest.raises(ExpressionError, match=message):
        raise refusal
    assert len(str(refusal)) < 2_000


def test_text_of_one_megabyte_takes_little_memory() -> None:
    text = "x+" * 500_000
    tracemalloc.start()
    try:
        within_time(text)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 10 * len(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * (MAX_NESTING - 1) + "x" + ")" * (MAX_NESTING - 1),
        "x" + "+x" * ((MAX_NODES - 1) // 2),
        f"x^{MAX_EXPONENT}",
        "x" + " " * (MAX_TEXT_CHARACTERS - 1),
    ],
    ids=["nesting", "nodes", "exponent", "characters"],
)
def test_text_at_the_limit_is_accepted_and_runs(text: str) -> None:
    expression = within_time(text)
    assert isinstance(expression, Expression)
    assert parse(str(expression)) == expression
    assert evaluate(expression, {"x": torch.tensor(1.0)}).isfinite()


def test_definitions_that_double_each_other_stay_small() -> None:
    text = "a0 = x + x; " + "".join(f"a{n} = a{n - 1} + a{n - 1}; " for n in range(1, 100)) + "a99"
    expression = within_time(text)
    assert isinstance(expression, Expression)
    labels: list[str] = []
    value = evaluate(
        expression, {"x": torch.tensor(1.0, dtype=torch.float64)}, on_value=lambda label, name, tensor: labels.append(label)
    )
    assert value.item() == 2.0**100
    assert max(map(len, labels)) < 20


def test_names_that_could_be_cut_in_many_ways_are_read_quickly() -> None:
    pieces = ["a" * length for length in range(1, 30)]
    text = "+".join("a" * 60 + "b" for _ in range(150))
    assert isinstance(within_time(text, variables=pieces), Expression)


def test_a_tree_that_was_built_by_hand_cannot_hang_either() -> None:
    tower: Node = Number(value=9)
    for _ in range(3):
        tower = BinaryOp(operator="^", left=Number(value=9), right=tower)
    with pytest.raises(ExpressionError, match="the exponent 387420489 at column 1 is too large"):
        evaluate(Expression(result=tower), {})


# Fuzzing

GOOD = [
    *SPELLINGS, *"xyzAT_0123456789.+-*/^@(),;=<>|‖·×÷−≤≥≠²³⁻ᵀ \n\t\u2062\u00a0", "wx", "e", "pi", "π", "α",
    "alpha", "z=", "foo", "x1", "if", "lambda", "ϑ", "µ", "ς", "**", "<=", ">=", "==", "!=", ".T", "1e9", "1e308",
    "1e-320", "9^9", "where(x>0,", "max(",
]  # fmt: skip
ODD = [*"√!'\"[]{}&\\#$%~`?:\x00\ud800\u0301\u200b\U0001d465٣½", "0x1", "1_0", "__import__", "x\u0338"]
LIKELY = [
    "x",
    "y",
    "A",
    "2",
    "0.5",
    "(",
    ")",
    "+",
    "-",
    "*",
    "/",
    "^",
    "sin",
    "max(",
    ",",
    " ",
    "where(x>0,",
    "|",
    "z=",
    ";",
    "²",
]
PIECES = GOOD + ODD
SOUPS = st.one_of(
    st.lists(st.sampled_from(GOOD), max_size=15).map("".join),
    st.lists(st.sampled_from(GOOD), max_size=15).map(" ".join),
    st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    st.lists(st.sampled_from(LIKELY), max_size=12).map("".join),
    st.builds(
        lambda piece, times, rest: piece * times + rest, st.sampled_from(GOOD), st.integers(1, 3000), st.sampled_from(GOOD)
    ),
    st.builds(
        lambda pieces, times: "".join(pieces) * times, st.lists(st.sampled_from(LIKELY), max_size=4), st.integers(1, 400)
    ),
)
SOME = st.none() | st.lists(
    st.sampled_from(["x", "y", "A", "T", "wx", "e", "π", "α", "σ", "sin", "", "x y", "²"]), max_size=5
)


def check_any_text(text: str, variables: Sequence[str] | None) -> None:
    """Text is refused, or is an expression that prints, reads back and runs without any other error."""
    expression = within_time(text, variables)
    if isinstance(expression, ExpressionError):
        return
    assert parse(str(expression), variables=expression.variables) == expression
    assert isinstance(expression.pretty, str)
    if len(text) < 500:
        for value in (torch.tensor(0.5), torch.tensor([[0.5, 1.0], [-2.0, 0.0]])):
            run(
                lambda value=value: evaluate(
                    expression, dict.fromkeys(expression.variables, value), on_value=lambda *_: None
                )
            )


def run(program: Callable[[], Tensor]) -> None:
    try:
        assert isinstance(program(), Tensor)
    except ExpressionError as error:
        assert "column" in str(error)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=200), SOME)
def test_arbitrary_unicode_is_an_expression_or_an_expression_error(text: str, variables: Sequence[str] | None) -> None:
    check_any_text(text, variables)


@settings(deadline=None, max_examples=300)
@given(SOUPS, SOME)
def test_arbitrary_soups_of_tokens_are_expressions_or_expression_errors(text: str, variables: Sequence[str] | None) -> None:
    check_any_text(text, variables)


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(["tanh(ln(1 + z*2x/sin y))", "z = x*y; log(z) + |x|^2", "where(a ≤ b, A@x, σ(x)²)"]), st.data())
def test_a_good_text_with_one_change_is_an_expression_or_an_expression_error(text: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(text)))
    width = data.draw(st.integers(0, 3))
    check_any_text(text[:place] + data.draw(st.sampled_from(PIECES)) + text[place + width :], None)
