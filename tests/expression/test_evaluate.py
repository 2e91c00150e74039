"""What the torch program of math text computes, against mpmath, plain Python loops and torch written by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gradviz.errors import ExpressionError
from gradviz.expression import evaluate, parse, to_tensor
from gradviz.expression.functions import FUNCTIONS

VECTOR, OTHER, MATRIX = [0.5, -1.25, 2.0], [3.0, 0.25, -0.5], [[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]]


def value_of(text: str, **variables: Any) -> Tensor:
    tensors = {name: to_tensor(value, name) for name, value in variables.items()}
    return evaluate(parse(text, variables=tuple(variables) or None), tensors)


def labels_of(text: str, **variables: Any) -> list[tuple[str, str, Any]]:
    seen: list[tuple[str, str, Any]] = []
    tensors = {name: to_tensor(value, name) for name, value in variables.items()}
    evaluate(parse(text), tensors, on_value=lambda text, name, tensor: seen.append((text, name, tensor.tolist())))
    return seen


def calls_of(text: str, **variables: Any) -> list[str]:
    """The aten calls that the program of `text` makes."""
    calls: list[str] = []

    class Listening(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.append(function.overloadpacket.__name__)
            return function(*args, **(kwargs or {}))

    tensors = {name: to_tensor(value, name) for name, value in variables.items()}
    with Listening():
        evaluate(parse(text), tensors)
    return calls


def of_mpmath(function: Any, point: float) -> tuple[float, float]:
    """Value and derivative, computed with 40 digits."""
    with mpmath.workdps(40):
        return float(function(mpmath.mpf(point))), float(mpmath.diff(function, mpmath.mpf(point)))


# Functions of one number: mpmath knows their values and their derivatives.


def _cbrt(x: Any) -> Any:
    return mpmath.sign(x) * mpmath.root(abs(x), 3)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


ANYWHERE, POSITIVE, INSIDE, ABOVE_ONE = [-2.5, -0.75, 0.3, 1.9], [0.2, 1.7, 30.0], [-0.9, -0.1, 0.6], [1.2, 4.0]
POINTWISE: dict[str, tuple[Callable[..., Any], list[float]]] = {
    "sin": (mpmath.sin, ANYWHERE),
    "cos": (mpmath.cos, ANYWHERE),
    "tan": (mpmath.tan, ANYWHERE),
    "asin": (mpmath.asin, INSIDE),
    "acos": (mpmath.acos, INSIDE),
    "atan": (mpmath.atan, ANYWHERE),
    "sinh": (mpmath.sinh, ANYWHERE),
    "cosh": (mpmath.cosh, ANYWHERE),
    "tanh": (mpmath.tanh, ANYWHERE),
    "asinh": (mpmath.asinh, ANYWHERE),
    "acosh": (mpmath.acosh, ABOVE_ONE),
    "atanh": (mpmath.atanh, INSIDE),
    "exp": (mpmath.exp, ANYWHERE),
    "expm1": (lambda x: mpmath.exp(x) - 1, [-2.5, 1e-9, 1.9]),
    "log": (mpmath.log, POSITIVE),
    "log2": (lambda x: mpmath.log(x) / mpmath.log(2), POSITIVE),
    "log10": (lambda x: mpmath.log(x) / mpmath.log(10), POSITIVE),
    "log1p": (lambda x: mpmath.log(1 + x), [-0.9, 1e-9, 3.0]),
    "sqrt": (lambda x: mpmath.power(x, mpmath.mpf(1) / 2), POSITIVE),
    "cbrt": (_cbrt, ANYWHERE),
    "abs": (lambda x: mpmath.sqrt(x * x), ANYWHERE),
    "sign": (lambda x: x / abs(x), ANYWHERE),
    "erf": (mpmath.erf, ANYWHERE),
    "sigmoid": (_sigmoid, [*ANYWHERE, -50.0, 50.0]),
    "relu": (lambda x: (x + abs(x)) / 2, ANYWHERE),
    "leaky_relu": (lambda x: x if x > 0 else x / 100, ANYWHERE),
    "elu": (lambda x: x if x > 0 else mpmath.exp(x) - 1, ANYWHERE),
    "gelu": (lambda x: x * mpmath.ncdf(x), ANYWHERE),
    "silu": (lambda x: x * _sigmoid(x), ANYWHERE),
    "softplus": (lambda x: mpmath.log(1 + mpmath.exp(x)), ANYWHERE),
}


def _softmax(values: list[float]) -> list[float]:
    total = math.fsum(map(math.exp, values))
    return [math.exp(value) / total for value in values]


def _columns(matrix: list[list[float]]) -> list[list[float]]:
    return [[row[column] for row in matrix] for column in range(len(matrix[0]))]


# Every other function: text with v, w (vectors) and A (a matrix), and the truth as plain Python numbers.
SEVERAL: dict[str, list[tuple[str, Any]]] = {
    "atan2": [
        ("atan2(v, w)", [math.atan2(y, x) for y, x in zip(VECTOR, OTHER, strict=True)]),
        ("atan2(2, v)", [math.atan2(2, x) for x in VECTOR]),
        ("atan2(v, -1)", [math.atan2(y, -1) for y in VECTOR]),
    ],
    "min": [
        ("min(v, w)", [0.5, -1.25, -0.5]),
        ("min(0.75, v, w, 0)", [0.0, -1.25, -0.5]),
        ("min(1, v)", [0.5, -1.25, 1.0]),
        ("min(A)", -2.0),
    ],
    "max": [
        ("max(v, w)", [3.0, 0.25, 2.0]),
        ("max(v, 1, w)", [3.0, 1.0, 2.0]),
        ("max(1, v)", [1.0, 1.0, 2.0]),
        ("max(A)", 3.0),
    ],
    "clamp": [
        ("clamp(v, -1, 1)", [0.5, -1.0, 1.0]),
        ("clamp(v, w, 1)", [1.0, 0.25, 1.0]),
        ("clamp(0, v, 1)", [0.5, 0.0, 1.0]),
    ],
    "where": [
        ("where(v < w, v, 7)", [0.5, -1.25, 7.0]),
        ("where(v >= 0.5, 1, v*2)", [1.0, -2.5, 1.0]),
        ("where(v != 2, 1, 0)", [1.0, 1.0, 0.0]),
        ("where(2 == v, 1, 0)", [0.0, 0.0, 1.0]),
        ("where(0 > 1, v, w)", OTHER),
        ("where(v > 0, where(v <= 1, 1, 2), 3)", [1.0, 3.0, 2.0]),
    ],
    "sum": [
        ("sum(v)", 1.25),
        ("sum(A)", 1.25),
        ("sum(A, 0)", [1.25, 1.0, -1.0]),
        ("sum(A, 1)", [-0.5, 1.75]),
        ("sum(A, -1)", [-0.5, 1.75]),
    ],
    "mean": [("mean(v)", 1.25 / 3), ("mean(A, 0)", [0.625, 0.5, -0.5]), ("mean(A, 1)", [-0.5 / 3, 1.75 / 3])],
    "norm": [
        ("norm(v)", math.hypot(*VECTOR)),
        ("norm(A)", math.hypot(*itertools.chain(*MATRIX))),
        ("norm(v, 1)", 3.75),
        ("norm(v, 3)", (0.5**3 + 1.25**3 + 2.0**3) ** (1 / 3)),
    ],
    "dot": [("dot(v, w)", 0.5 * 3.0 - 1.25 * 0.25 - 2.0 * 0.5)],
    "softmax": [
        ("softmax(v)", _softmax(VECTOR)),
        ("softmax(A)", [_softmax(row) for row in MATRIX]),
        ("softmax(A, 0)", _columns([_softmax(column) for column in _columns(MATRIX)])),
    ],
    "log_softmax": [
        ("log_softmax(A)", [[math.log(value) for value in _softmax(row)] for row in MATRIX]),
        ("log_softmax(v)", [math.log(value) for value in _softmax(VECTOR)]),
        ("log_softmax(A, 0)", _columns([[math.log(value) for value in _softmax(column)] for column in _columns(MATRIX)])),
    ],
    "transpose": [
        ("transpose(A)", _columns(MATRIX)),
        ("A.T", _columns(MATRIX)),
        ("transpose(v)@w", -0.5 * 3.0 + 2.6875 - 1.0),
    ],
    "leaky_relu": [("leaky_relu(v, 0.2)", [0.5, -0.25, 2.0])],
    "elu": [("elu(v, 2)", [0.5, 2 * math.expm1(-1.25), 2.0])],
    "softplus": [("softplus(v, 3)", [math.log1p(math.exp(3 * x)) / 3 for x in VECTOR])],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_table_computes_what_its_name_says(name: str) -> None:
    assert name in POINTWISE or name in SEVERAL, f"say in this file what {name} computes"
    function, points = POINTWISE.get(name, (None, []))
    for point in points:
        truth, slope = of_mpmath(function, point)
        x = to_tensor(point, "x").requires_grad_()
        value = evaluate(parse(f"{name}(x)"), {"x": x})
        (gradient,) = torch.autograd.grad(value, x)
        assert value.item() == pytest.approx(truth, rel=1e-14)
        assert gradient.item() == pytest.approx(slope, rel=1e-14)
    for text, truth in SEVERAL.get(name, []):
        value = value_of(text, v=VECTOR, w=OTHER, A=MATRIX)
        assert value.dtype == torch.float64
        torch.testing.assert_close(value, torch.tensor(truth, dtype=torch.float64), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.scalar])
def test_a_function_of_constants_is_computed_as_one_of_tensors(name: str) -> None:
    function, points = POINTWISE.get(name, (None, []))
    for point in points:
        assert value_of(f"{name}({point})").item() == pytest.approx(of_mpmath(function, point)[0], rel=1e-14)
        assert calls_of(f"x + {name}({point})", x=1.0) == ["add"]
    if function is None or FUNCTIONS[name].most != 1:
        least = max(2, FUNCTIONS[name].least)
        for numbers in itertools.product([0.3, -0.7, 1.5], repeat=least):
            listed, letters = ", ".join(map(str, numbers)), "xyz"[:least]
            if name in ("leaky_relu", "elu", "softplus"):  # the second argument must be a constant
                letters = f"x{numbers[1]}"
                tensor = value_of(f"{name}(x, {numbers[1]})", x=numbers[0])
            else:
                tensor = value_of(f"{name}({', '.join(letters)})", **dict(zip(letters, numbers, strict=True)))
            assert value_of(f"{name}({listed})").item() == pytest.approx(tensor.item(), rel=1e-14), listed


# Whole expressions, against the same written by hand in torch: bit for bit.

x, y, z = (torch.tensor(value, dtype=torch.float64) for value in (1.0, 2.0, 3.0))
v, w, A = (torch.tensor(value, dtype=torch.float64) for value in (VECTOR, OTHER, MATRIX))


@pytest.mark.parametrize(
    ("text", "by_hand"),
    [
        ("tanh(ln(1 + z*2x/sin y))", torch.tanh(torch.log(1 + z * 2 * x / torch.sin(y)))),
        ("x*y + sin(pi*x)", x * y + torch.sin(math.pi * x)),
        ("(y - tanh(wx+b))^2", None),
        ("z = x*y; log(z) + exp(z)", torch.log(x * y) + torch.exp(x * y)),
        ("-x^2", -(x**2)),
        ("x^-y", x**-y),
        ("2^y^z", 2 ** (y**z)),
        ("1/x + 3/y", 1 / x + 3 / y),
        ("3 - x", 3 - x),
        ("e^x", math.e**x),
        ("x*y/z", x * y / z),
        ("A@v", A @ v),
        ("σ(A@v + x)", torch.sigmoid(A @ v + x)),
        ("v^T@w", torch.dot(v, w)),
        ("A@A.T", A @ A.T),
        ("-A@v", -A @ v),
        ("2A@v", (2 * A) @ v),
        ("sum((v - w)^2)/3", ((v - w) ** 2).sum() / 3),
        ("||v||^2", torch.linalg.vector_norm(v) ** 2),
        ("A + v", A + v),
        ("A*A", A * A),
        ("where(v > 0, v, -v)", v.abs()),
        ("relu(A@v)@(A@w)", torch.relu(A @ v) @ (A @ w)),
    ],
)
def test_text_computes_what_torch_computes_when_written_by_hand(text: str, by_hand: Tensor | None) -> None:
    values = {"x": x, "y": y, "z": z, "v": v, "w": w, "A": A}
    if by_hand is None:
        values |= {"w": z, "b": x}
        by_hand = (y - torch.tanh(z * x + x)) ** 2
    value = evaluate(parse(text, variables=tuple(values)), values)
    assert torch.equal(value, by_hand)


@settings(deadline=None, max_examples=100)
@given(st.floats(0.1, 10), st.floats(0.1, 10), st.integers(-3, 3), st.sampled_from("+-*/"))
def test_arithmetic_is_that_of_python_floats(a: float, b: float, n: int, sign: str) -> None:
    truth = {"+": a + b, "-": a - b, "*": a * b, "/": a / b}[sign]
    assert value_of(f"a {sign} b", a=a, b=b).item() == truth
    assert value_of(f"{a!r} {sign} {b!r}").item() == truth
    assert value_of(f"a^({n})", a=a).item() == pytest.approx(a**n, rel=1e-14)


def test_a_constant_expression_is_one_float64() -> None:
    value = value_of("2^10 + pi/2 - cos(0)*(7/2)")
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(1024 + math.pi / 2 - 3.5, rel=1e-15)


def test_the_dtype_is_that_of_the_values() -> None:
    single = torch.tensor([1.0, -2.0], dtype=torch.float32)
    for text in ("2x + pi", "where(x > 0, 1, 0)", "atan2(1, x)", "max(x, 0, 1.5)", "1/x", "clamp(0, x, 1)"):
        assert evaluate(parse(text), {"x": single}).dtype == torch.float32, text


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("x*3.14 + 2*3", ["mul", "add"]),
        ("2^x", ["pow"]),
        ("x^(4/2)", ["pow"]),
        ("1/x", ["reciprocal"]),
        ("1/(1 + exp(-x))", ["neg", "exp", "add", "reciprocal"]),
        ("relu(x)", ["relu"]),
        ("clamp(x, 0, 1)", ["clamp"]),
        ("max(x, 0)", ["clamp_min"]),
        ("x", []),
        ("z = 2pi; z x", ["mul"]),
    ],
)
def test_a_node_of_the_text_is_one_call_and_constants_are_none(text: str, calls: list[str]) -> None:
    assert calls_of(text, x=0.5) == calls


# What the callback is told


def test_every_computed_part_is_told_with_its_text_operands_first() -> None:
    told = labels_of("z = x*y; (z + 2*3)^2/z", x=2.0, y=3.0)
    assert told == [
        ("x·y", "z", 6.0),
        ("z + 2·3", "", 12.0),
        ("(z + 2·3)²", "", 144.0),
        ("(z + 2·3)²/z", "", 24.0),
    ]


def test_a_second_name_of_a_value_and_the_transpose_of_a_vector_are_no_new_values() -> None:
    assert labels_of("a = x; where(1 > 0, a, 2)", x=2.0) == []
    assert labels_of("v^T@v", v=[1.0, 2.0]) == [("vᵀ@v", "", 5.0)]


def test_an_error_in_the_callback_is_not_taken_for_one_of_torch() -> None:
    def broken(text: str, name: str, tensor: Tensor) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"\Amine\Z"):
        evaluate(parse("x + 1"), {"x": x}, on_value=broken)


# Refusals


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("1 + A@v2", 5, r"cannot compute A@v2 at column 5 from shape \(2, 3\) and shape \(2,\); .*as many columns"),
        (
            "sin(v + v2)",
            5,
            r"v \+ v2 at column 5 from shape \(3,\) and shape \(2,\); accepted are equal shapes, or size 1",
        ),
        ("x*where(v < v2, 1, 0)", 9, "v < v2 at column 9 from .*accepted are equal shapes"),
        (
            "2 + 3*A v",
            5,
            r"cannot compute 3\*A v at column 5 .*; write @ for the matrix product or \* for the elementwise one",
        ),
        ("A@x", 1, r"from shape \(2, 3\) and shape \(\): @ needs vectors or matrices on both sides; write \*"),
        ("v + v^T", 1, r"the transpose of a vector is accepted on the left of @ only; .* write a\^T @ b or dot\(a, b\)"),
        ("v@w^T", 1, "the transpose of a vector is accepted on the left of @ only"),
        ("w^T", 1, "the transpose of a vector is accepted on the left of @ only"),
        ("1 + x^T", 5, "a transpose needs a matrix or a vector, not a single number"),
        ("1 + dot(A, A)", 5, "dot needs two vectors; write @ for the product of matrices"),
        ("dot(v, 2)", 1, "the second argument must be a variable or an expression of variables, not the number 2"),
        ("sum(v, x)", 1, "the dimension must be a constant number, not a variable"),
        ("sum(v, 0.5)", 1, "the dimension must be an integer, not 0.5"),
        ("1 + softmax(v, 3)", 5, r"softmax\(v, 3\) at column 5 from shape \(3,\) and the number 3: Dimension out of range"),
        ("elu(x, y)", 1, "alpha must be a constant number, not a variable"),
        ("x + q", 5, "the variable 'q' at column 5 has no value; given are: A, v, v2, w, x, y"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_column_of_its_part(text: str, column: int, message: str) -> None:
    values = {"x": x, "y": y, "v": v, "w": w, "A": A, "v2": to_tensor([1, 2], "v2")}
    with pytest.raises(ExpressionError, match=message) as caught:
        evaluate(parse(text, variables=(*values, "q")), values)
    assert caught.value.column == column
    assert str(caught.value).endswith(f"\n  {' ' * (column - 1)}^")


def test_a_refusal_that_is_not_about_shapes_does_not_talk_of_shapes() -> None:
    flags = torch.tensor([True, False])
    with pytest.raises(ExpressionError, match="two bool tensors is not supported") as caught:
        evaluate(parse("a - b"), {"a": flags, "b": flags})
    assert "accepted are equal shapes" not in str(caught.value)
