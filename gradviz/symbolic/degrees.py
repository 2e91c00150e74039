"""How large a rational formula becomes when it is multiplied out, known before that is tried."""

from __future__ import annotations

import math
from collections.abc import Mapping

import sympy as sp

Degrees = dict[sp.Symbol, int]


def dense_size(formula: sp.Expr) -> int:
    """How many coefficients the numerator and the denominator have at most, over one denominator and multiplied out.

    sympy's polynomials keep that many in memory while they are factored, and take at least as many steps.

    >>> x, y = sp.symbols("x y")
    >>> dense_size((x + y) ** 2)  # 1, x, x**2 times 1, y, y**2
    10
    >>> dense_size((x + 1) ** 1000 / (x + y))
    1005

    Args:
        formula: in symbols, with sums, products and whole powers alone; what else is in it counts as a number.
    """
    top, bottom = _degrees(formula)
    return sum(math.prod(degree + 1 for degree in side.values()) for side in (top, _total(bottom)))


def _degrees(formula: sp.Expr) -> tuple[Degrees, Mapping[sp.Expr, int]]:
    """The numerator's degree in each symbol, and the factors of the denominator with their powers."""
    if formula.is_Symbol:
        return {formula: 1}, {}
    if formula.is_Add:
        return _of_sum([_degrees(term) for term in formula.args])
    if formula.is_Mul:
        return _of_product([_degrees(factor) for factor in formula.args])
    if formula.is_Pow and formula.exp.is_Integer:
        times = int(abs(formula.exp))
        top, bottom = _degrees(formula.base)
        if formula.exp > 0:
            return _times(top, times), {factor: power * times for factor, power in bottom.items()}
        return _times(_total(bottom), times), {formula.base: times} if top else {}
    return {}, {}


def _of_sum(terms: list[tuple[Degrees, Mapping[sp.Expr, int]]]) -> tuple[Degrees, Mapping[sp.Expr, int]]:
    common: dict[sp.Expr, int] = {}
    for _, bottom in terms:
        common |= {factor: max(power, common.get(factor, 0)) for factor, power in bottom.items()}
    widest: Degrees = {}
    for top, bottom in terms:
        missing = {factor: power - bottom.get(factor, 0) for factor, power in common.items()}
        for symbol, degree in _added(top, _total(missing)).items():
            widest[symbol] = max(degree, widest.get(symbol, 0))
    return widest, common


def _of_product(factors: list[tuple[Degrees, Mapping[sp.Expr, int]]]) -> tuple[Degrees, Mapping[sp.Expr, int]]:
    whole: Degrees = {}
    under: dict[sp.Expr, int] = {}
    for top, bottom in factors:
        whole = _added(whole, top)
        under |= {factor: power + under.get(factor, 0) for factor, power in bottom.items()}
    return whole, under


def _total(factors: Mapping[sp.Expr, int]) -> Degrees:
    """The degrees of a product of powers; of a factor that is a fraction itself, those of its numerator."""
    total: Degrees = {}
    for factor, power in factors.items():
        total = _added(total, _times(_degrees(factor)[0], power))
    return total


def _added(first: Degrees, second: Degrees) -> Degrees:
    return first | {symbol: degree + first.get(symbol, 0) for symbol, degree in second.items()}


def _times(degrees: Degrees, times: int) -> Degrees:
    return {symbol: degree * times for symbol, degree in degrees.items()} if times else {}
