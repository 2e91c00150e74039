"""Numbers and names as text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradviz
from gradviz.signs import with_minus_signs
from gradviz.view.notation import derivative_text, number_text, shorten


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (math.pi, "3.142"),
        (1.2e-05, "1.2e−05"),
        (-0.5, "−0.5"),
        (3.0, "3"),
        (123456.7, "1.235e+05"),
        (0, "0"),
        (-1240, "−1240"),
        (10**400, "∞"),
        (-(10**15), "−1e+15"),
        (True, "True"),
        (math.nan, "NaN"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (1 + 2j, "1 + 2j"),
        (complex(-1.5, -0.0), "−1.5 − 0j"),
        (complex(math.nan, math.inf), "NaN + ∞j"),
    ],
)
def test_a_number_prints_as_on_a_blackboard(value: complex, text: str) -> None:
    assert number_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_four_digits(value: float) -> None:
    read = float(number_text(value).replace("−", "-").replace("∞", "inf"))
    assert read == pytest.approx(value, rel=5.1e-4, abs=0) or math.isinf(read)
    mantissa = number_text(value).split("e")[0].strip("−")
    assert len(mantissa.replace(".", "").lstrip("0")) <= 4


def test_a_name_that_is_an_expression_is_put_in_parentheses() -> None:
    assert derivative_text("c", "x + y") == "∂c/∂(x + y)"


def test_shortened_text_keeps_both_ends() -> None:
    assert shorten("one two three four five", 14) == "one tw…ur five"
    assert len(shorten("x" * 99, 20)) == 20
    assert len(shorten("a." + "x" * 99, 20)) == 20


@pytest.mark.parametrize("length", [16, 20, 28])
def test_shortened_paths_of_two_layers_stay_apart(length: int) -> None:
    paths = [f"transformer.h.{layer}.mlp.c_proj.weight" for layer in range(12)]
    short = {shorten(path, length) for path in paths}
    assert len(short) == len(paths) and all(len(one) <= length and one.endswith("weight") for one in short)


def test_a_hyphen_in_a_name_is_no_minus() -> None:
    assert with_minus_signs("-a·layer-norm - b") == "−a·layer-norm − b"


def test_an_edge_says_a_number_once_with_four_digits() -> None:
    graph = gradviz.trace("123456.789*x + x/123456789 - 10000000000*x + 1e-05*x*y", x=2.0, y=3.0, device="cpu")
    for report in (None, graph.check()):
        texts = {edge.derivative: edge.text for edge in graph.view(report=report).edges}
        assert (texts["∂a/∂x"], texts["∂b/∂x"], texts["∂d/∂x"]) == (
            "∂a/∂x = 1.235e+05",
            "∂b/∂x = 8.1e−09",
            "∂d/∂x = 1e+10",
        )
        assert "∂f/∂x = 1e−05" in texts.values()
