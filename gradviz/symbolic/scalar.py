"""How elements of symbolic tensors (see `element.py`) are computed with: sums, products, functions, extremes.

Where a complex element takes part, the result is a pair whose parts are sums and products of parts; functions of complex
elements are `analytic.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from gradviz.symbolic.analytic import apply_to_pairs, modulus
from gradviz.symbolic.arithmetic import EXACT, MP
from gradviz.symbolic.element import Applied, Dot, Pair, Product, Scalar, Selected, Sum, Symbol, may_tie, times
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.registry import NoRule
from gradviz.symbolic.rounding import least_normal, moved_product, rounded, spread

__all__ = [
    "COARSEST",
    "ONE",
    "ZERO",
    "Pair",
    "Plain",
    "Scalar",
    "Symbol",
    "apply",
    "as_number",
    "chosen",
    "conjugate",
    "dot",
    "imaginary_part",
    "largest",
    "modulus",
    "negative",
    "number",
    "product",
    "real_part",
    "squared_modulus",
    "total",
]

COARSEST = 2.0**-8
"""The unit roundoff of bfloat16: what is farther apart than it rounds is told apart in every dtype."""
_SUM, _DOT, _PRODUCT = Sum(), Dot(), Product()
ZERO = Scalar(MP.zero, 0.0)
ONE = Scalar(MP.one, 0.0)
_MINUS_ONE = Scalar(-MP.one, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Many terms of a sum that carry no symbol, added up elsewhere.

    Attributes:
        value: their sum.
        error: the sum of their errors, in units of u.
        size: the sum of their absolute values.
        count: how many they are.
    """

    value: Any
    error: float
    size: float
    count: int


_NONE = Plain(value=MP.zero, error=0.0, size=0.0, count=0)


def number(value: int | float | complex) -> Scalar:
    """The number, exactly."""
    if isinstance(value, complex):
        return Pair(number(value.real), number(value.imag))
    return Scalar(EXACT.number(value), 0.0)


def total(terms: Sequence[Scalar], *, beside: Plain = _NONE) -> Scalar:
    """The sum of the terms, and of those beside them; the numbers among them are added outside of sympy."""
    if len(terms) == 1 and not beside.count:
        return terms[0]
    if Pair in map(type, terms):
        return Pair(total([real_part(term) for term in terms]), total([imaginary_part(term) for term in terms]))
    carrying = [term for term in terms if term.operation is not None]
    value = _sum([term.value for term in terms])
    error = sum(term.error for term in terms) + beside.error
    count = len(terms) + beside.count
    if beside.count:
        value = value + beside.value
    adding = rounded(value)
    if count > 2:
        adding = max(spread(count) * (sum(abs(term.approximate) for term in terms) + beside.size), adding)
    error += adding
    if not carrying:
        return Scalar(value, error)
    numbers = [term.value for term in terms if term.operation is None]
    if beside.count:
        numbers.append(beside.value)
    rest = (Scalar(_sum(numbers), 0.0),) if numbers else ()
    return Scalar(value, error, _SUM, (*carrying, *rest))


def dot(left: Sequence[Scalar], right: Sequence[Scalar], *, beside: Plain = _NONE) -> Scalar:
    """The sum of the products of two lists of equal length, and of what is beside them; numbers go outside of sympy."""
    if not left and not beside.count:
        return ZERO
    if Pair in map(type, left) or Pair in map(type, right):
        return _complex_dot(left, right)
    value = _dot([(a.value, b.value) for a, b in zip(left, right, strict=True)])
    size = beside.size
    error = beside.error
    least, largest_term = least_normal(), 0.0
    for a, b in zip(left, right, strict=True):
        term = abs(a.approximate * b.approximate)
        size += term
        largest_term = max(largest_term, term)
        if term >= least or (a.approximate and b.approximate):
            error += term if not term < least else least
        if a.error or b.error:
            error += moved_product(abs(a.approximate), a.error, abs(b.approximate), b.error)
    if beside.count:
        value = value + beside.value
    rounded(largest_term)  # which may overflow where the sum does not
    error += max(spread(len(left) + beside.count) * size, rounded(value))
    carrying: list[Scalar] = []
    numbers = []
    for a, b in zip(left, right, strict=True):
        if a.operation is None and b.operation is None:
            numbers.append((a.value, b.value))
        else:
            carrying += (a, b)
    if beside.count:
        numbers.append((beside.value, MP.one))
    if not carrying:
        return Scalar(value, error)
    if numbers:
        carrying.append(Scalar(_dot(numbers), 0.0))
    return Scalar(value, error, _DOT, tuple(carrying))


def product(factors: Sequence[Scalar]) -> Scalar:
    """The product of the factors."""
    if len(factors) == 1:
        return factors[0]
    if Pair in map(type, factors):
        return reduce(lambda one, other: dot([one], [other]), factors)
    result: tuple[Any, float] = (factors[0].value, factors[0].error)
    for factor in factors[1:]:
        result = times(result, factor)
    if all(factor.operation is None for factor in factors):
        return Scalar(*result)
    return Scalar(*result, _PRODUCT, tuple(factors))


def apply(function: ScalarFunction, operands: Sequence[Scalar]) -> Scalar:
    """The function at the operands."""
    if Pair in map(type, operands):
        return apply_to_pairs(function, operands)
    value, error = function.tracked_value([(operand.value, operand.error) for operand in operands])
    if function.may_ignore:
        known = [operand.value if operand.operation is None else None for operand in operands]
        ignored = function.ignored(known, value)
        operands = [as_number(operand) if place in ignored else operand for place, operand in enumerate(operands)]
    if all(operand.operation is None for operand in operands):
        return Scalar(value, error)
    return Scalar(value, error, Applied(function), tuple(operands))


def largest(candidates: Sequence[Scalar], name: str, *, sign: int = 1) -> Scalar:
    """The candidate of largest value (smallest for sign -1), and which others tie with it; nan wins, as in torch."""
    if Pair in map(type, candidates):
        raise NoRule("complex numbers have no order")
    best = candidates[0]
    for candidate in candidates[1:]:
        if MP.isnan(best.value):
            break
        if MP.isnan(candidate.value) or sign * candidate.value > sign * best.value:
            best = candidate
    return chosen(best, candidates, name)


def chosen(best: Scalar, candidates: Sequence[Scalar], name: str) -> Scalar:
    """One of the candidates, and which others may tie with it; NaN has no order, so that it may be any of them."""
    ties = [other for other in candidates if other is not best and may_tie(best, other, COARSEST)]
    if all(candidate.operation is None for candidate in (best, *ties)):
        return Scalar(best.value, best.error)
    return Scalar(best.value, best.error, Selected(name), (best, *ties))


def as_number(scalar: Scalar) -> Scalar:
    """The same value without its symbols: a constant as far as derivatives go."""
    if isinstance(scalar, Pair):
        return Pair(as_number(scalar.real), as_number(scalar.imaginary))
    return scalar if scalar.operation is None else Scalar(scalar.value, scalar.error)


def real_part(scalar: Scalar) -> Scalar:
    """The real part of a complex element; any other as it is."""
    return scalar.real if isinstance(scalar, Pair) else scalar


def imaginary_part(scalar: Scalar) -> Scalar:
    """The imaginary part of a complex element; 0 of any other."""
    return scalar.imaginary if isinstance(scalar, Pair) else ZERO


def negative(scalar: Scalar) -> Scalar:
    """The element with its sign changed, without rounding."""
    if isinstance(scalar, Pair):
        return Pair(negative(scalar.real), negative(scalar.imaginary))
    if scalar.operation is None:
        return Scalar(-scalar.value, scalar.error)
    return Scalar(-scalar.value, scalar.error, _DOT, (scalar, _MINUS_ONE))


def conjugate(scalar: Scalar) -> Scalar:
    """The complex conjugate; a real element as it is."""
    return Pair(scalar.real, negative(scalar.imaginary)) if isinstance(scalar, Pair) else scalar


def squared_modulus(scalar: Scalar) -> Scalar:
    """The square of the modulus; of a real element its square."""
    parts = [scalar.real, scalar.imaginary] if isinstance(scalar, Pair) else [scalar]
    return dot(parts, parts)


def _complex_dot(left: Sequence[Scalar], right: Sequence[Scalar]) -> Pair:
    a, b = [real_part(one) for one in left], [imaginary_part(one) for one in left]
    c, d = [real_part(one) for one in right], [imaginary_part(one) for one in right]
    return Pair(dot([*a, *b], [*c, *map(negative, d)]), dot([*a, *b], [*d, *c]))


def _sum(values: list[Any]) -> Any:
    if len(values) == 2:
        return values[0] + values[1]
    return MP.fsum(values)


def _dot(pairs: list[tuple[Any, Any]]) -> Any:
    return MP.fdot(pairs)
