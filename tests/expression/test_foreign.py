"""What people write that math text does not have is refused with a hint, and never read as a product of letters."""

from __future__ import annotations

import re

import pytest

from gradviz.errors import ExpressionError
from gradviz.expression import parse
from gradviz.expression.foreign import instead_of_name
from gradviz.expression.functions import SPELLINGS


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("sec x", 1, r"'sec' at column 1 is no function of math text; write 1/cos\(x\); .* product .* s\*e\*c"),
        ("2 + 3cot(x)", 6, r"'cot' at column 6 .* write 1/tan\(x\)$"),
        ("csc x", 1, r"write 1/sin\(x\)"),
        ("SEC(x)", 1, r"write 1/cos\(x\)"),
        ("secθ", 1, r"write 1/cos\(x\)"),
        ("πtg x", 2, r"write tan\(x\)"),
        ("lg x", 1, r"write log10\(x\), or log2\(x\) for base 2"),
        ("lim x", 1, "write the expression itself"),
        ("sech x", 1, r"write 1/cosh\(x\)"),
        ("sinc(x)", 1, r"write sin\(x\)/x"),
        ("gamma(x)", 1, r"write gamma\*\(...\) for a product"),
        ("Γ(x)", 1, r"write Γ\*\(...\) for a product"),
        ("Σx", 1, r"'Σ' at column 1 is no sum; write sum\(x\) for a sum, Σ\*x for a product"),
        ("Σ (x + 1)", 1, r"write sum\(x\)"),
        ("∑x", 1, r"write sum\(x\)"),
        ("d/dx x^2", 3, r"the derivative /dx at column 3; write the function only: .* for a product write d\*x"),
        ("1 + d²y/dx²", 9, "the derivative /dx at column 9"),
        ("sum_i x_i", 1, r"write sum\(x\)"),
        ("arc sin x", 1, r"write asin\(x\)"),
        ("norm(x, inf)", 9, r"max\(abs\(x\)\)"),
        ("sinx_1 + 2", 1, r"for the function sin write sin\(x_1\)"),
        ("leakyrelu(x)", 1, "did you mean 'leaky_relu'"),
        ("mean(x, dim=0)", 12, r"arguments have no names: sum\(x, 0\)"),
        ("f(x) = x^2", 1, "the definition of a function f at column 1; write what it is equal to, .* f = ..."),
        ("z = 2x; loss(x, (y)) = x^2", 9, "the definition of a function loss at column 9"),
        ("log(x, 2)", 1, r"log with 2 arguments at column 1; .* log2\(x\), log10\(x\) or log\(x\)/log\(b\)"),
        ("log_2(x)", 1, r"write log2\(x\)"),
        ("log_b x", 1, r"write log\(x\)/log\(b\)"),
        ("‖x‖₁", 4, r"write norm\(x, 1\)"),
        ("det(A)", 1, "trace a Python function that calls torch's instead"),
        ("inv(A)", 1, "trace a Python function that calls torch's instead"),
        ("x and y", 3, "one where inside another"),
        (r"\frac{x}{y}", 1, r"the LaTeX command \\frac at column 1; math text is no LaTeX: write \(x\)/\(y\)"),
        (r"2\sin(x)", 2, r"the LaTeX command \\sin at column 2; math text is no LaTeX: write sin"),
        ("x\\", 2, "math text is no LaTeX"),
        ("½x", 1, "unexpected character '½' at column 1; write 1/2"),
        ("x + 𝑦", 5, "write y"),
        ("xⁿ", 2, r"write \^n"),
        ("x\u0302", 2, "letters have no marks"),
        ("√2x", 3, r"a root that may end here or later at column 3; write sqrt\(...\) around what is under it"),
        ("√x^2", 3, "a root that may end here or later at column 3"),
        ("sin-1(x)", 4, r"-1 after the function name sin at column 4; write 1/sin\(x\) .*, asin\(x\) for the inverse"),
        ("tan^-1(x)", 4, r"write 1/tan\(x\) for the reciprocal, atan\(x\) for the inverse function"),
        ("sin()", 1, r"the function sin has no argument at column 1; write sin\(x\)"),
        ("max(x; y)", 4, "a comma is between arguments"),
        ("cos2x", 1, r"for the function cos write cos\(2x\)"),
        ("sqrt2", 1, r"for the function sqrt write sqrt\(2\)"),
    ],
)
def test_a_foreign_notation_is_an_error_with_a_hint(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    sentence, _, caret = str(caught.value).split("\n")
    assert caught.value.column == column
    assert re.search(message, sentence), sentence
    assert caret == f"{' ' * (column + 1)}^"


@pytest.mark.parametrize(
    ("text", "variables", "read"),
    [
        ("sec x", ["s", "c", "x"], "s*e*c*x"),
        ("sec*x", ["sec", "x"], "sec*x"),
        ("sec = 2x; sec", None, "sec = 2*x; sec"),
        ("gamma(x - mu)/σ + β", ["gamma", "x", "mu", "σ", "β"], "gamma*(x - mu)/σ + β"),
        ("γ(x - μ)", None, "γ*(x - μ)"),
        ("Σ @ x", None, "Σ@x"),
        ("Σ(x)", ["Σ", "x"], "Σ*x"),
        ("d/dx", ["d", "x"], "d/d*x"),
        ("step*x + trace", None, "step*x + trace"),
        ("log_p + norm_1", None, "log_p + norm_1"),
        ("Sum + 1", ["Sum"], "Sum + 1"),
        ("sin xy", ["x", "y"], "sin(x*y)"),
    ],
)
def test_what_is_said_to_be_a_variable_is_one(text: str, variables: list[str] | None, read: str) -> None:
    expression = parse(text, variables=variables)
    assert str(expression) == read
    assert parse(read, variables=expression.variables) == expression


def test_a_function_beside_known_variables_is_no_longer_name() -> None:
    with pytest.raises(ExpressionError, match=r"for the function sin write sin\(xy\)"):
        parse("sinxy", variables=["x", "y"])


def test_no_function_of_math_text_is_foreign() -> None:
    assert [name for name in SPELLINGS if instead_of_name(name, parenthesis=True)] == []
