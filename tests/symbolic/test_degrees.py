"""The size that a formula has when it is multiplied out, beside what sympy makes of it."""

from __future__ import annotations

import math

import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from gradviz.symbolic.degrees import dense_size

X, Y, Z = sp.symbols("x y z")


def formulas() -> st.SearchStrategy[sp.Expr]:
    atoms = st.sampled_from([X, Y, Z, X + Y, X + 1, sp.Integer(2), sp.Rational(1, 3)])

    def grown(smaller: st.SearchStrategy[sp.Expr]) -> st.SearchStrategy[sp.Expr]:
        return st.one_of(
            st.builds(sp.Add, smaller, smaller),
            st.builds(sp.Mul, smaller, smaller),
            st.builds(sp.Pow, smaller, st.sampled_from([2, 3, -1, -2])),
        )

    return st.recursive(atoms, grown, max_leaves=6)


@settings(max_examples=100, deadline=None)
@given(formula=formulas().filter(lambda one: not one.has(sp.zoo, sp.nan)))
def test_no_side_has_more_coefficients_than_told(formula: sp.Expr) -> None:
    sides = [sp.Poly(side, X, Y, Z) for side in sp.fraction(sp.together(formula))]
    dense = sum(math.prod(degree + 1 for degree in side.degree_list() if degree > 0) for side in sides if not side.is_zero)
    assert dense <= dense_size(formula)


def test_few_letters_may_be_a_large_polynomial() -> None:
    assert dense_size((X + Y + Z) ** 27) == 28**3 + 1
    assert dense_size((X + 1 / Y) ** 9) == 10 * 10 + 10
    assert dense_size(1 / (1 + X) ** 2 + Y / (1 + X)) == 2 * 2 + 3
