"""sympy expressions as trees: how they are written, and that they have the value that sympy itself computes."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sympy.codegen.cfunctions import expm1, log1p, log2, log10

from gradviz.errors import ExpressionError, GradvizError, InputError
from gradviz.expression import evaluate, from_sympy, parse

x, y, z = sp.symbols("x y z")
AT = {x: 0.75, y: 1.25, z: -0.5}
TENSORS = {symbol.name: torch.tensor(value, dtype=torch.float64) for symbol, value in AT.items()}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (x - y, "x - y"),
        (-x - y, "-x - y"),
        (x / y, "x/y"),
        (x / 2, "x/2"),
        (-2 * x / (3 * y), "-(2*x/(3*y))"),
        (sp.sqrt(x) / y - x * sp.Rational(2, 3), "sqrt(x)/y - 2*x/3"),
        (1 / sp.sqrt(x), "1/sqrt(x)"),
        (x**-2, "1/x^2"),
        (2**-x, "2^(-x)"),
        (sp.exp(-x), "exp(-x)"),
        (sp.pi * x + sp.E, "pi*x + e"),
        (sp.sin(x) ** 2, "sin(x)^2"),
        (sp.cot(x), "1/tan(x)"),
        (sp.Max(x, y, 1), "max(1, x, y)"),
        (sp.Abs(x), "abs(x)"),
        (sp.Piecewise((x, x > 0), (y, x < -1), (0, True)), "where(x > 0, x, where(x < -1, y, 0))"),
        (sp.Float(0.1) * x, "0.1*x"),
        (sp.Symbol("wx") + sp.Symbol("alpha"), "alpha + wx"),
        (sp.Integer(-5), "-5"),
        (sp.Add(x, x, evaluate=False), "x + x"),
    ],
)
def test_it_is_written_as_by_hand(expression: Any, text: str) -> None:
    read = from_sympy(expression)
    assert str(read) == text
    assert read.text == text
    assert parse(text, variables=read.variables) == read


def _larger(a: Any, b: Any) -> Any:
    """Max and Min; sympy refuses them where it knows an argument to be no real number."""
    try:
        return sp.Max(a, sp.Min(b, 1))
    except (TypeError, ValueError):
        return a


INNER: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([x, y, z, sp.pi, sp.E])
    | st.integers(-4, 4).map(sp.Integer)
    | st.fractions(-2, 2, max_denominator=7).map(sp.Rational),
    lambda inner: st.one_of(
        st.builds(sp.Add, inner, inner),
        st.builds(sp.Mul, inner, inner),
        st.builds(lambda a, b: a - b, inner, inner),
        st.builds(lambda a, n: a**n, inner, st.sampled_from([-2, -1, sp.Rational(-1, 2), sp.Rational(1, 2), 2, 3])),
        st.builds(
            lambda f, a: f(a), st.sampled_from([sp.sin, sp.cos, sp.tanh, sp.exp, sp.atan, sp.Abs, sp.asinh, sp.sech]), inner
        ),
        st.builds(_larger, inner, inner),
        st.builds(lambda a, b, c: sp.Piecewise((a, x > c), (b, True)), inner, inner, st.integers(0, 2)),
    ),
    max_leaves=8,
)


def _real(expression: Any) -> float:
    """sympy's own number; drops the example where that is not a real one of ordinary size."""
    try:
        number = complex(expression.evalf(30, subs=AT))
    except (TypeError, ValueError, OverflowError):
        assume(False)
    assume(number.imag == 0 and 1e-3 < abs(number.real) < 1e6)
    return number.real


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(INNER)
def test_its_value_is_the_one_that_sympy_computes(expression: Any) -> None:
    assume(not expression.has(sp.zoo, sp.nan, sp.oo, sp.I))
    truth = _real(expression)
    assume(all(part.evalf(20, subs=AT).is_real for part in sp.preorder_traversal(expression) if isinstance(part, sp.Expr)))
    try:
        read = from_sympy(expression)
    except ExpressionError as error:
        assume("the constant" not in str(error))
        raise
    assert evaluate(read, TENSORS).item() == pytest.approx(truth, rel=1e-8)


@pytest.mark.parametrize(
    "expression",
    [
        *(function(x) for function in (sp.sin, sp.cos, sp.tan, sp.asin, sp.acos, sp.atan, sp.sinh, sp.cosh, sp.tanh)),
        *(function(x) for function in (sp.asinh, sp.atanh, sp.exp, sp.log, sp.sign, sp.erf, sp.sqrt, sp.cbrt, expm1, log1p)),
        *(function(x) for function in (log2, log10, sp.cot, sp.sec, sp.csc, sp.coth, sp.sech, sp.csch, sp.acot, sp.asech)),
        *(function(y) for function in (sp.acosh, sp.asec, sp.acsc, sp.acoth, sp.acsch)),
        *(function(z) for function in (sp.Abs, sp.acot, sp.acsch)),
        sp.atan2(y, z),
        sp.Max(x, y, z),
        sp.Min(x, y, z),
        sp.log(x, 2),
        sp.GoldenRatio * x,
        sp.Piecewise((x, sp.Ne(x, y)), (y, True)),
        sp.Piecewise((x, sp.Eq(x, y)), (y, True)),
        sp.Piecewise((x, sp.Le(x, y)), (y, True)),
        sp.UnevaluatedExpr(x + 1) * y,
        sp.Mul(-1, sp.Mul(-1, x, evaluate=False), evaluate=False),
    ],
    ids=str,
)
def test_every_accepted_function_has_the_value_of_sympy(expression: Any) -> None:
    truth = float(expression.doit().subs(AT).evalf(30))
    assert evaluate(from_sympy(expression), TENSORS).item() == pytest.approx(truth, rel=1e-13)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (sp.I * x, "cannot read ImaginaryUnit in the sympy expression I; accepted are real numbers, pi, E, symbols"),
        (sp.oo, "has the number oo, which is not real and finite"),
        (sp.zoo, "cannot read ComplexInfinity"),
        (sp.Function("f")(x), r"cannot read f in the sympy expression f\(x\)"),
        (sp.Derivative(sp.Function("f")(x), x), "cannot read Derivative"),
        (sp.MatrixSymbol("A", 2, 2), "cannot read MatrixSymbol"),
        (sp.Matrix([[1, x]]), "expected a sympy expression, got MutableDenseMatrix"),
        (sp.Eq(x, y), "expected a sympy expression, got Equality"),
        (3, "expected a sympy expression, got int"),
        (sp.Symbol("sin"), "the sympy symbol 'sin' is no name for a variable; .* replace it with .subs"),
        (sp.Symbol("x y"), "the sympy symbol 'x y' is no name for a variable"),
        (sp.Symbol("e") * sp.E, "both a symbol 'e' and the constant of that name; rename the symbol"),
        (sp.Symbol("π") + sp.pi, "both a symbol 'π' and the constant of that name"),
        (x + sp.Symbol("x", positive=True), "two different sympy symbols are called 'x'"),
        (sp.Piecewise((x, (x > 0) & (y > 0)), (0, True)), "cannot read the condition .*; accepted is one comparison"),
        (sp.Piecewise((x, x > 0)), "has gaps; accepted is a Piecewise that ends with"),
        (sp.Integer(10) ** 400 * x, "too large for a float; accepted are sizes up to 1.8e308"),
        (sp.Float("1e-400") * x, "too small for a float; accepted are 0 and sizes from 5e-324"),
        (sp.Add(*sp.symbols("x0:4001")), "the sympy expression is too large; accepted are 4000 parts"),
    ],
)
def test_what_is_no_real_scalar_is_refused(expression: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_sympy(expression)


def test_an_exponent_beyond_the_limit_is_refused_at_its_column() -> None:
    with pytest.raises(
        ExpressionError, match="the exponent 2000 at column 3 is too large; accepted are exponents up to 1000"
    ):
        from_sympy(y + x**2000)


def test_deep_nesting_is_refused_and_no_crash() -> None:
    nested = x
    for _ in range(100):
        nested = sp.sin(nested)
    with pytest.raises(GradvizError, match=r"too large|levels of nesting"):
        from_sympy(nested)
