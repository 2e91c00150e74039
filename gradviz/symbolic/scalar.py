"""One element of a symbolic tensor: a number known to 50 digits that remembers how it depends on which input symbols.

An element without symbols is only a number and a rounding error: 50,000 of them sum in milliseconds. An element that
depends on symbols keeps its operation and operands, so that one backward sweep gives its partial derivatives with
respect to all its symbols at once, each elementary derivative being sympy's, and another its sympy expression:
`sweep.py`. Symbols have values too: they decide which branch a piecewise function takes and which element is the maximum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import sympy as sp

from gradviz.symbolic.arithmetic import EXACT, MP
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.rounding import spread


class Scalar:
    """A value, its rounding error, and how it was made.

    Attributes:
        value: the true value to 50 digits (mpmath number; may be inf or nan).
        error: first-order bound on what computing it in a dtype costs, in units of that dtype's u.
        approximate: the value as a float.
        operation: how it was made, where it depends on symbols; None for a plain number.
        operands: what it was made from, numbers included.
    """

    __slots__ = ("approximate", "error", "operands", "operation", "value")

    def __init__(
        self, value: Any, error: float, operation: Operation | None = None, operands: tuple[Scalar, ...] = ()
    ) -> None:
        self.value = value
        self.approximate = approximate = float(value)
        self.error = 0.0 if approximate in _INFINITE else error
        self.operation = operation
        self.operands = operands

    @property
    def is_number(self) -> bool:
        """Whether no symbol is in it."""
        return self.operation is None

    def __repr__(self) -> str:
        return f"Scalar({self.approximate!r})"


class Symbol(Scalar):
    """An input element that is differentiated for.

    Attributes:
        key: what `partials_of` reports it under, (argument position, index).
        tensor_name: the name of the tensor that it is an element of.
    """

    __slots__ = ("key", "tensor_name")

    def __init__(self, value: Any, approximate: float, key: tuple[int, tuple[int, ...]], tensor_name: str) -> None:
        self.value = value
        self.approximate = approximate
        self.error = 0.0
        self.operation = _SYMBOL
        self.operands = ()
        self.key = key
        self.tensor_name = tensor_name

    @property
    def name(self) -> str:
        """The name of its sympy symbol: `x_0_1`."""
        return "_".join([self.tensor_name, *map(str, self.key[1])])


# One local partial inside an element: (operand, partial of the element's value with respect to it, error in units of u).
Local = tuple[Scalar, Any, float]
_INFINITE = (math.inf, -math.inf)


class Operation:
    """How a symbol-carrying scalar was made; one shared object per kind, functions excepted."""

    def locals(self, scalar: Scalar) -> list[Local]:
        """The partials with respect to those operands that carry symbols."""
        return []

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        """The sympy expression, given those of the operands."""
        raise NotImplementedError

    def kinks(self, scalar: Scalar, unit: float) -> list[str]:
        """The names of the kinks that the operands lie on."""
        return []


class _SymbolOperation(Operation):
    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        assert isinstance(scalar, Symbol)
        return sp.Symbol(scalar.name, real=True)


class _Sum(Operation):
    def locals(self, scalar: Scalar) -> list[Local]:
        return [(operand, MP.one, 0.0) for operand in scalar.operands if operand.operation is not None]

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        return sp.Add(*operands)


class _Dot(Operation):
    """a0*b0 + a1*b1 + ...; operands are a0, b0, a1, b1, ... of pairs that carry a symbol, then the rest as a number."""

    def locals(self, scalar: Scalar) -> list[Local]:
        found = []
        pairs = iter(scalar.operands)
        for left, right in zip(pairs, pairs, strict=False):
            if left.operation is not None:
                found.append((left, right.value, right.error))
            if right.operation is not None:
                found.append((right, left.value, left.error))
        return found

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        products = [left * right for left, right in zip(operands[::2], operands[1::2], strict=False)]
        return sp.Add(*products, *(operands[-1:] if len(operands) % 2 else []))


class _Product(Operation):
    def locals(self, scalar: Scalar) -> list[Local]:
        operands = scalar.operands
        before = [(MP.one, 0.0)]
        for operand in operands[:-1]:
            before.append(_times(before[-1], operand))
        after = (MP.one, 0.0)
        found = []
        for place in range(len(operands) - 1, -1, -1):
            operand = operands[place]
            if operand.operation is not None:
                value, error = before[place]
                rest = value * after[0]
                size = abs(float(rest))
                found.append((operand, rest, error * abs(float(after[0])) + abs(float(value)) * after[1] + size))
            after = _times(after, operand)
        return found

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        return sp.Mul(*operands)


def _times(product: tuple[Any, float], factor: Scalar) -> tuple[Any, float]:
    value = product[0] * factor.value
    return value, product[1] * abs(factor.approximate) + abs(float(product[0])) * factor.error + abs(float(value))


class _Applied(Operation):
    def __init__(self, function: ScalarFunction) -> None:
        self.function = function

    def locals(self, scalar: Scalar) -> list[Local]:
        arguments = [(operand.value, operand.error) for operand in scalar.operands]
        result = (scalar.value, scalar.error)
        return [
            (operand, *self.function.tracked_partial(place, arguments, result))
            for place, operand in enumerate(scalar.operands)
            if operand.operation is not None
        ]

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        return self.function.expression.xreplace(dict(zip(self.function.parameters, operands, strict=True)))

    def kinks(self, scalar: Scalar, unit: float) -> list[str]:
        return self.function.kinks_at([(operand.value, operand.error) for operand in scalar.operands], unit)


class _Selected(Operation):
    """One of several, by its value; operands[0] is it, the others tie with it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def locals(self, scalar: Scalar) -> list[Local]:
        chosen = scalar.operands[0]
        return [] if chosen.operation is None else [(chosen, MP.one, 0.0)]

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        return operands[0]

    def kinks(self, scalar: Scalar, unit: float) -> list[str]:
        return [f"tie in {self.name}"] if len(scalar.operands) > 1 else []


_SYMBOL, _SUM, _DOT, _PRODUCT = _SymbolOperation(), _Sum(), _Dot(), _Product()
ZERO = Scalar(MP.zero, 0.0)
ONE = Scalar(MP.one, 0.0)


def number(value: float | int) -> Scalar:
    """The float or int, exactly."""
    return Scalar(EXACT.number(value), 0.0)


def total(terms: Sequence[Scalar]) -> Scalar:
    """The sum of the terms; the numbers among them are added outside of sympy."""
    if len(terms) == 1:
        return terms[0]
    carrying = [term for term in terms if term.operation is not None]
    value = _sum([term.value for term in terms])
    error = sum(term.error for term in terms)
    if len(terms) == 2:
        error += abs(float(value))
    else:
        error += spread(len(terms)) * sum(abs(term.approximate) for term in terms)
    if not carrying:
        return Scalar(value, error)
    numbers = [term.value for term in terms if term.operation is None]
    rest = (Scalar(_sum(numbers), 0.0),) if numbers else ()
    return Scalar(value, error, _SUM, (*carrying, *rest))


def dot(left: Sequence[Scalar], right: Sequence[Scalar]) -> Scalar:
    """The sum of the products of two lists of equal length; the numbers are multiplied outside of sympy."""
    if not left:
        return ZERO
    value = _dot([(a.value, b.value) for a, b in zip(left, right, strict=True)])
    size = 0.0
    error = 0.0
    for a, b in zip(left, right, strict=True):
        size += abs(a.approximate * b.approximate)
        if a.error or b.error:
            error += abs(a.approximate) * b.error + abs(b.approximate) * a.error
    error += (1 + spread(len(left))) * size
    carrying: list[Scalar] = []
    numbers = []
    for a, b in zip(left, right, strict=True):
        if a.operation is None and b.operation is None:
            numbers.append((a.value, b.value))
        else:
            carrying += (a, b)
    if not carrying:
        return Scalar(value, error)
    if numbers:
        carrying.append(Scalar(_dot(numbers), 0.0))
    return Scalar(value, error, _DOT, tuple(carrying))


def product(factors: Sequence[Scalar]) -> Scalar:
    """The product of the factors."""
    if len(factors) == 1:
        return factors[0]
    result: tuple[Any, float] = (factors[0].value, factors[0].error)
    for factor in factors[1:]:
        result = _times(result, factor)
    if all(factor.operation is None for factor in factors):
        return Scalar(*result)
    return Scalar(*result, _PRODUCT, tuple(factors))


def apply(function: ScalarFunction, operands: Sequence[Scalar]) -> Scalar:
    """The function at the operands."""
    value, error = function.tracked_value([(operand.value, operand.error) for operand in operands])
    if all(operand.operation is None for operand in operands):
        return Scalar(value, error)
    return Scalar(value, error, _Applied(function), tuple(operands))


def largest(candidates: Sequence[Scalar], name: str, *, sign: int = 1) -> Scalar:
    """The candidate of largest value (smallest for sign -1), and which others tie with it; nan wins, as in torch."""
    best = candidates[0]
    for candidate in candidates[1:]:
        if MP.isnan(best.value):
            break
        if MP.isnan(candidate.value) or sign * candidate.value > sign * best.value:
            best = candidate
    return chosen(best, candidates, name)


def chosen(best: Scalar, candidates: Sequence[Scalar], name: str) -> Scalar:
    """One of the candidates, and which others tie with it."""
    ties = [other for other in candidates if other is not best and other.value == best.value]
    if all(candidate.operation is None for candidate in (best, *ties)):
        return Scalar(best.value, best.error)
    return Scalar(best.value, best.error, _Selected(name), (best, *ties))


def as_number(scalar: Scalar) -> Scalar:
    """The same value without its symbols: a constant as far as derivatives go."""
    return scalar if scalar.operation is None else Scalar(scalar.value, scalar.error)


def _sum(values: list[Any]) -> Any:
    if len(values) == 2:
        return values[0] + values[1]
    return MP.fsum(values)


def _dot(pairs: list[tuple[Any, Any]]) -> Any:
    return MP.fdot(pairs)
