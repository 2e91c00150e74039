"""What is read from a text with nothing known is read from it again once its variables have values."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradviz.errors import ExpressionError
from gradviz.expression import parse

LETTERS = ["x", "y", "e", "T", "α", "β", "π", "ς", "ϑ", "σ", "_1", "2"]
WORDS = ["ab", "pi", "PI", "mu", "xi", "nu", "alpha", "sigma", "weight", "sin", "exp", "ln"]
SIGNS = ["(", ")", " ", "+", "^", "^T", ".T", "²", ";", "z=", "e=", "ab=", "σ("]
TEXTS = st.lists(st.sampled_from(LETTERS + WORDS + SIGNS), min_size=1, max_size=7).map("".join)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("(y - tanh(wx+b))^2", "(y - tanh(w*x + b))^2"),
        ("xyσ(z)", "x*y*sigmoid(z)"),
        ("lnαxln", "log(α*x*l*n)"),
        ("sinαxy", "sin(α*x*y)"),
        ("exp π x mux", "exp(pi*x*mu*x)"),
        ("ab = 3x; 2abc", "ab = 3*x; 2*ab*c"),
        ("w_1x + w_1", "w_1x + w_1"),
        ("αe = xαe; αe", "αe = x*α*e; αe"),
    ],
)
def test_a_text_is_read_the_same_before_and_after_its_variables_are_known(text: str, read: str) -> None:
    expression = parse(text)
    assert str(expression) == read
    assert str(parse(text, variables=expression.variables)) == read


@settings(deadline=None, max_examples=1000)
@given(TEXTS)
def test_telling_the_variables_that_were_found_changes_no_text(text: str) -> None:
    try:
        expression = parse(text)
    except ExpressionError:
        assume(False)
        raise
    assert parse(text, variables=expression.variables) == expression
