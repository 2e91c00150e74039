"""Numbers and calls as text."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradviz.opcall import OpCall
from gradviz.view.notation import call_text, derivative_text, number_text, shorten, with_minus_signs

aten = torch.ops.aten


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


def call(overload: torch._ops.OpOverload, *args: object, **kwargs: object) -> OpCall:
    return OpCall(overload=overload, args=args, kwargs=kwargs)


A, B = torch.tensor(1.0), torch.tensor(2.0)


@pytest.mark.parametrize(
    ("op", "recorded", "text"),
    [
        ("mul", call(aten.mul.Tensor, A, B), "a × b"),
        ("mul", call(aten.mul.Tensor, A, math.pi), "a × π"),
        ("pow", call(aten.pow.Tensor_Scalar, A, 2), "a²"),
        ("pow", call(aten.pow.Tensor_Scalar, A, -3), "a⁻³"),
        ("pow", call(aten.pow.Tensor_Scalar, A, 0.5), "a ^ 0.5"),
        ("sub", call(aten.sub.Tensor, A, B), "a − b"),
        ("sub", call(aten.sub.Tensor, A, B, alpha=2), "−(a, b)"),
        ("neg", call(aten.neg.default, A), "−a"),
        ("sum", call(aten.sum.dim_IntList, A, [0, 1], True), "Σ(a, [0, 1])"),
        ("cat", call(aten.cat.default, [A, B], 1), "cat(a, b, 1)"),
        ("_softmax", call(aten._softmax.default, A, 1, False), "softmax(a, 1)"),
    ],
)
def test_a_call_is_written_with_the_names_of_its_inputs(op: str, recorded: OpCall, text: str) -> None:
    assert call_text(op, {0: "a", 1: "b"} if text.count("b") else {0: "a"}, recorded) == text


def test_a_long_call_loses_its_options_before_its_inputs() -> None:
    recorded = call(aten.slice.Tensor, A, 1000000, 2000000, 3000000)
    assert call_text("slice", {0: "hidden"}, recorded) == "slice(hidden)"
    assert call_text("cat", {0: "a_very_long_name", 1: "another_long_name"}, None) == "cat(…)"
    assert call_text("mul", {0: "a_very_long_name", 1: "another_long_name"}, None) == "… × …"


def test_a_name_that_is_an_expression_is_put_in_parentheses() -> None:
    assert derivative_text("c", "x + y") == "∂c/∂(x + y)"
    assert call_text("mul", {0: "x + y", 1: "z"}, None) == "(x + y) × z"


def test_shortened_text_keeps_both_ends() -> None:
    assert shorten("transformer.h.11.attn.c_attn.weight", 20).startswith("transform")
    assert len(shorten("x" * 99, 20)) == 20


def test_a_hyphen_in_a_name_is_no_minus() -> None:
    assert with_minus_signs("-a·layer-norm - b") == "−a·layer-norm − b"
