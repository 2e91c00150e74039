"""From symbol-carrying elements back to their symbols: partial derivatives in one sweep, kinks, sympy expressions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sympy as sp

from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.element import Selected, tied
from gradviz.symbolic.registry import NoRule
from gradviz.symbolic.rounding import moved_product, rounded
from gradviz.symbolic.scalar import Scalar, Symbol

_LONGEST = 20_000


def partials_of(
    seeds: Sequence[tuple[Scalar, Any]], *, order: Sequence[Scalar] | None = None
) -> dict[Symbol, tuple[Any, float]]:
    """The partials of sum(weight * scalar) with respect to every symbol in it, by one sweep from the results back.

    Args:
        seeds: (scalar, weight) pairs; a weight is an exact number.
        order: `in_order` of the scalars, where the caller has it.

    Returns:
        symbol -> (partial to 50 digits, its rounding error in units of u).

    >>> from gradviz.symbolic.scalar import dot
    >>> from gradviz.symbolic.arithmetic import EXACT
    >>> x = Symbol(EXACT.number(2.0), 2.0, (0, ()), "x")
    >>> y = Symbol(EXACT.number(3.0), 3.0, (1, ()), "y")
    >>> partials = partials_of([(dot([x, x], [y, x]), EXACT.number(1))])
    >>> {symbol.name: float(value) for symbol, (value, _) in partials.items()}
    {'x': 7.0, 'y': 2.0}
    """
    adjoints: dict[Scalar, list[Any]] = {}
    for scalar, weight in seeds:
        _accumulate(adjoints, scalar, weight, 0.0)
    result = {}
    for scalar in reversed(in_order([scalar for scalar, _ in seeds]) if order is None else order):
        if isinstance(scalar, Symbol):
            if scalar in adjoints:
                result[scalar] = (adjoints[scalar][0], adjoints[scalar][1])
            continue
        found = adjoints.pop(scalar, None)
        if found is None or scalar.operation is None:
            continue
        adjoint, error = found
        size = abs(float(adjoint))
        for operand, partial, partial_error in scalar.operation.locals(scalar):
            value = partial if adjoint is MP.one else adjoint if partial is MP.one else adjoint * partial
            more = size * partial_error if partial_error else 0.0
            if error:
                more = moved_product(size, error, abs(float(partial)), partial_error)
            if value is not partial and value is not adjoint:
                more += rounded(value)
            _accumulate(adjoints, operand, value, more)
    return {symbol: result[symbol] for symbol in reversed(result)}


def ranges_of(seeds: Sequence[tuple[Scalar, Any]], unit: float) -> dict[tuple[int, tuple[int, ...]], tuple[float, float]]:
    """The least and largest partial of sum(weight * scalar) with respect to each symbol that an element chosen among
    several that tie, within rounding of `unit`, may depend on, whichever of them is chosen; by the symbols' keys.

    Of three equal numbers each may be the median, though moving it alone leaves the median where it is.
    """
    adjoints: dict[Scalar, tuple[float, float]] = {}
    on_tie: set[Scalar] = set()
    for scalar, weight in seeds:
        _widen(adjoints, scalar, float(weight), float(weight))
    for scalar in reversed(in_order([scalar for scalar, _ in seeds])):
        low, high = adjoints.get(scalar, (0.0, 0.0))
        if scalar.operation is None:
            continue
        ties = tied(scalar, unit) if isinstance(scalar.operation, Selected) else []
        if len(ties) > 1:
            below, above = min(low, 0.0), max(high, 0.0)
            for operand in ties:
                _widen(adjoints, operand, below, above)
        else:
            for operand, partial, _ in scalar.operation.locals(scalar):
                ends = (low * float(partial), high * float(partial))
                _widen(adjoints, operand, min(ends), max(ends))
        if len(ties) > 1:
            on_tie.update(ties)
        elif scalar in on_tie:
            on_tie.update(scalar.operands)
    return {scalar.key: adjoints.get(scalar, (0.0, 0.0)) for scalar in on_tie if isinstance(scalar, Symbol)}


def kinks_of(order: Sequence[Scalar], unit: float) -> tuple[tuple[str, ...], frozenset[tuple[int, tuple[int, ...]]]]:
    """The names of all kinks that these elements lie on, within rounding of `unit`, and the keys of the symbols in those.

    `order` is as `in_order` makes it.
    """
    found: dict[str, None] = {}
    on_kinks = []
    for scalar in order:
        if scalar.operation is not None and (names := scalar.operation.kinks(scalar, unit)):
            found.update(dict.fromkeys(names))
            on_kinks.append(scalar)
    return tuple(found), frozenset(scalar.key for scalar in in_order(on_kinks) if isinstance(scalar, Symbol))


def expression(scalar: Scalar) -> sp.Expr:
    """The element as a sympy expression in its symbols; short numbers are exact rationals, others have 50 digits.

    Raises:
        NoRule: it is too long to be written out: a loop that uses its own results twice doubles it in each turn.
    """
    made: dict[Scalar, sp.Expr] = {}
    sizes: dict[sp.Basic, int] = {}
    for inner in in_order([scalar]):
        assert inner.operation is not None
        operands = [made[operand] if operand in made else as_sympy(operand.value) for operand in inner.operands]
        made[inner] = inner.operation.expression(inner, operands)
        if _size(made[inner], sizes) > _LONGEST:
            raise NoRule("the formula would be too long to read")
    return made[scalar] if scalar in made else as_sympy(scalar.value)


def _size(part: sp.Basic, known: dict[sp.Basic, int]) -> int:
    """How many parts an expression has, each counted wherever it stands; `known` are those of others, and gets these."""
    if part not in known:
        known[part] = 1 + sum(_size(one, known) for one in part.args)
    return known[part]


def as_sympy(value: Any) -> sp.Expr:
    """An exact number for sympy: a float's value as a rational, longer ones as a `Float` of 50 digits."""
    if MP.isnan(value) or MP.isinf(value):
        return sp.nan if MP.isnan(value) else sp.oo if value > 0 else -sp.oo
    sign, mantissa, exponent, bits = value._mpf_
    if bits <= 64 and abs(exponent) <= 1100:
        return sp.Rational((-1) ** sign * int(mantissa)) * sp.Integer(2) ** exponent
    return sp.Float._new(value._mpf_, MP.prec)


def _accumulate(adjoints: dict[Scalar, list[Any]], scalar: Scalar, value: Any, error: float) -> None:
    known = adjoints.get(scalar)
    if known is None:
        adjoints[scalar] = [value, error]
        return
    known[0] = known[0] + value
    size = rounded(known[0])
    known[1] = known[1] + error + (size if math.isfinite(size) else 0.0)


def _widen(adjoints: dict[Scalar, tuple[float, float]], scalar: Scalar, low: float, high: float) -> None:
    before = adjoints.get(scalar, (0.0, 0.0))
    adjoints[scalar] = (before[0] + low, before[1] + high)


def in_order(roots: Sequence[Scalar]) -> list[Scalar]:
    """All symbol-carrying scalars that the roots are made of, operands first; iterative, since chains may be long."""
    done: set[Scalar] = set()
    order: list[Scalar] = []
    stack: list[tuple[Scalar, bool]] = [(root, False) for root in roots]
    while stack:
        scalar, expanded = stack.pop()
        if scalar in done or scalar.operation is None:
            continue
        if expanded or not scalar.operands:
            done.add(scalar)
            order.append(scalar)
        else:
            stack.append((scalar, True))
            stack += [(operand, False) for operand in scalar.operands if operand.operation is not None]
    return order
