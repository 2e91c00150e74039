"""Derivatives taken function by function are sympy's own, also where sympy would take minutes."""

from __future__ import annotations

import pytest
import sympy as sp

from gradviz.symbolic.differentiation import derivative

X, Y, Z = sp.symbols("x y z", real=True)
POINTS = ({X: 0.3, Y: -0.7, Z: 1.9}, {X: -1.1, Y: 0.4, Z: 0.6})
NESTED = (sp.sqrt(1 + Z**2) + sp.Rational(1, 2)) / (2 + sp.cos(sp.sqrt(1 + (Z / (2 + sp.cos(X))) ** 2)))


@pytest.mark.parametrize(
    "expression",
    [
        X * Y + sp.sin(sp.pi * X),
        (Y - sp.tanh(X * Z + 3)) ** 2,
        sp.exp(X * Y) ** Z + 2 ** (X * X),
        (X**2 + 1) ** sp.sin(X),
        sp.Piecewise((sp.log(1 + sp.exp(X * Y)), X * Y <= 1), (sp.erf(X), True)) * sp.cos(X),
        sp.tanh(sp.Piecewise((X, X > 0), (sp.exp(X) - 1, True))),
        sp.Max(sp.sin(X), Y) + sp.Min(X * X, Z) + abs(X),
        sp.tanh(sp.tanh(X) / (2 + sp.cos(Y))) + Y**2,
        sp.sin(Y) * Z,
    ],
)
def test_it_equals_the_derivative_of_the_whole(expression: sp.Expr) -> None:
    found, expected = derivative(expression, X), sp.diff(expression, X)
    for at in POINTS:
        assert abs(sp.N((found - expected).subs(at), 30)) < 1e-12


def test_what_sympy_asks_the_whole_about_is_not_asked() -> None:
    """As a whole this takes sympy 1.14 two minutes: it multiplies out the real part of what a tanh is taken of."""
    nested = sp.tanh(sp.sin(NESTED + X) / 2) + X
    found = derivative(nested, X)
    for at in POINTS:
        step = sp.Rational(1, 10**12)
        exact = {symbol: sp.Rational(str(value)) for symbol, value in at.items()}
        beside = [nested.subs(exact | {X: exact[X] + way * step}) for way in (1, -1)]
        assert abs(sp.N(found.subs(exact), 30) - sp.N((beside[0] - beside[1]) / (2 * step), 40)) < 1e-15


def test_the_form_is_that_of_textbooks() -> None:
    assert str(derivative((Y - sp.tanh(X * Z)) ** 2, X)) == "-2*z*(1 - tanh(x*z)**2)*(y - tanh(x*z))"
    assert derivative(sp.Piecewise((X, X > 0), (sp.exp(X) - 1, True)), X) == sp.Piecewise((1, X > 0), (sp.exp(X), True))
    assert derivative(sp.sin(Y), X) == 0 and derivative(X, X) == 1
