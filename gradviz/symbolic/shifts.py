"""Formulas through softmax without the number that it takes out: exp(x - c)/Σ exp(x - c) is written exp(x)/Σ exp(x).

The rules take out the largest argument, as torch does, so that nothing overflows. That number cancels, and a reader who is
to compare the formula with that of a textbook should not have to see it.
"""

from __future__ import annotations

import sympy as sp


def unshifted(formula: sp.Expr) -> sp.Expr:
    """The same formula without the numbers beside variables in exponents, where all of them cancel; else as it is.

    >>> x, y = sp.symbols("x y", real=True)
    >>> c = sp.Rational(6, 5)
    >>> powers = sp.exp(x - c) + sp.exp(y - c)
    >>> unshifted(sp.diff(sp.log(powers) - (x - c), x) / 2)
    (-1 + exp(x)/(exp(x) + exp(y)))/2
    >>> unshifted(sp.exp(x - c) / (1 + sp.exp(x - c)))
    exp(x - 6/5)/(exp(x - 6/5) + 1)
    """
    shifts = {shift for power in formula.atoms(sp.exp) if (shift := power.exp.as_coeff_Add()[0]).is_Rational and shift}
    factors: dict[sp.Rational, sp.Expr] = {}  # of a shift, and of its multiples
    bases: dict[sp.Rational, sp.Symbol] = {}
    for shift in sorted(shifts, key=lambda number: (abs(number), number)):
        base = next((known for known in bases if (shift / known).is_Integer), shift)
        factors[shift] = bases.setdefault(base, sp.Dummy(positive=True)) ** (shift / base)
    taken_out = formula.replace(
        lambda node: isinstance(node, sp.exp) and node.exp.as_coeff_Add()[0] in factors,
        lambda power: factors[power.exp.as_coeff_Add()[0]] * sp.exp(power.exp.as_coeff_Add()[1]),
    )
    plain = sp.factor_terms(taken_out) if factors else formula
    return formula if plain.free_symbols & set(bases.values()) else plain
