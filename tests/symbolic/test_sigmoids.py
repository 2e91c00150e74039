"""Formulas through sigmoids are written with them, and mean what they meant."""

from __future__ import annotations

import pytest
import sympy as sp

from gradviz.symbolic import formula_text
from gradviz.symbolic.sigmoids import in_sigmoids

X, Y, Z = sp.symbols("x y z", real=True)
SIGMOID = 1 / (1 + sp.exp(-X))
STABLE = sp.Piecewise((SIGMOID * sp.exp(-X), X > 0), (1 / (1 + sp.exp(X)), True))


@pytest.mark.parametrize(
    ("formula", "written"),
    [
        (sp.diff(Y * SIGMOID, X), "y·σ(x)·(1 - σ(x))"),
        (sp.diff(-Y * sp.log(SIGMOID) - (1 - Y) * sp.log(1 - SIGMOID), X), "σ(x) - y"),
        (sp.diff((Y - 1 / (1 + sp.exp(-X * Z))) ** 2, X), "-2·z·σ(x·z)·(1 - σ(x·z))·(y - σ(x·z))"),
        (sp.diff((Y - 1 / (1 + sp.exp(-X - Z))) ** 2, X), "-2·σ(x + z)·(1 - σ(x + z))·(y - σ(x + z))"),
        (sp.diff(X * SIGMOID, X), "σ(x)·(x - x·σ(x) + 1)"),
        (STABLE, "1 - σ(x)"),
        (sp.exp(2 * X) / (1 + sp.exp(X)) ** 2, "1/(1 + exp(-x))²"),
        (sp.diff(1 / (1 + sp.exp(-SIGMOID)), X), "σ(x)·σ(σ(x))·(1 - σ(x))·(1 - σ(σ(x)))"),
    ],
)
def test_exponentials_are_gathered(formula: sp.Expr, written: str) -> None:
    found = in_sigmoids(formula)
    assert formula_text(found) == written
    for at in ({X: sp.Rational(1, 3), Y: sp.Rational(-1, 2), Z: 2}, {X: -2, Y: 3, Z: sp.Rational(1, 5)}):
        assert abs(sp.N((found - formula).subs(at), 40)) < 1e-35


@pytest.mark.parametrize(
    "formula", [sp.exp(-X) * Y, sp.exp(X) / (sp.exp(X) + sp.exp(Y)), SIGMOID, X / (2 + sp.exp(X)), sp.log(1 + sp.exp(X))]
)
def test_what_is_no_shorter_with_sigmoids_stays(formula: sp.Expr) -> None:
    assert in_sigmoids(formula) is formula


@pytest.mark.parametrize(
    "formula",
    [
        sp.exp(X * sp.Rational(0.3478)) * SIGMOID**2 + sp.exp(Y * sp.Rational(0.17)),  # of exp(x/2**54) some 10**16
        ((X + Y + Z + SIGMOID) ** 9 + sp.exp(Y)) ** 3 * sp.exp(-X),
    ],
)
def test_what_would_be_too_large_multiplied_out_stays(formula: sp.Expr) -> None:
    assert in_sigmoids(formula) == formula
