"""Formulas without the numbers that softmax takes out: still the same function, and as a textbook writes it."""

from __future__ import annotations

import pytest
import sympy as sp

from gradviz.symbolic.shifts import unshifted

X, Y, Z = sp.symbols("x y z", real=True)
C, D = sp.Rational(3470014749433629, 2251799813685248), sp.Rational(-7, 4)


def softmax(shift: sp.Rational) -> sp.Expr:
    return sp.exp(X - shift) / (sp.exp(X - shift) + sp.exp(Y - shift) + sp.exp(Z - shift))


@pytest.mark.parametrize(
    ("formula", "plain"),
    [
        (softmax(C), "exp(x)/(exp(x) + exp(y) + exp(z))"),
        (-sp.diff(sp.log(softmax(C)), X), "-1 + exp(x)/(exp(x) + exp(y) + exp(z))"),
        (sp.diff(softmax(C), X), "(1 - exp(x)/(exp(x) + exp(y) + exp(z)))*exp(x)/(exp(x) + exp(y) + exp(z))"),
        (softmax(C) * softmax(D).xreplace({X: Y, Y: X}), "exp(x)*exp(y)/(exp(x) + exp(y) + exp(z))**2"),
        (sp.diff(softmax(C) ** 2, Y), "-2*exp(2*x)*exp(y)/(exp(x) + exp(y) + exp(z))**3"),
    ],
)
def test_what_cancels_is_not_written(formula: sp.Expr, plain: str) -> None:
    found = unshifted(formula)
    assert str(found) == plain
    at = {X: sp.Rational(1, 3), Y: sp.Rational(-1, 2), Z: 2}
    assert abs(sp.N((found - formula).subs(at), 40)) < 1e-35


NEEDING = [sp.exp(X - C), softmax(C) + sp.exp(X - D), sp.exp(X - 1) / (1 + sp.exp(X - 1)), X * (Y + Z)]


@pytest.mark.parametrize("formula", NEEDING)
def test_a_formula_that_needs_its_numbers_stays_as_it_is(formula: sp.Expr) -> None:
    assert unshifted(formula) is formula
