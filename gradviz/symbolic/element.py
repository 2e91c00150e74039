"""One element of a symbolic tensor: a number known to 50 digits that remembers how it depends on which input symbols.

An element without symbols is only a number and a rounding error: 50,000 of them sum in milliseconds. An element that
depends on symbols keeps its operation and operands, so that one backward sweep gives its partial derivatives with
respect to all its symbols at once, each elementary derivative being sympy's, and another its sympy expression:
`sweep.py`. Symbols have values too: they decide which branch a piecewise function takes and which element is the maximum.

A complex element is a `Pair` of two real ones, so that all that is known of real numbers serves complex ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sympy as sp

from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.registry import NoRule
from gradviz.symbolic.rounding import least_normal, moved_product, rounded

_MOST_CASES = 64


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


class Pair(Scalar):
    """A complex element: its real and its imaginary part, each an element with symbols of its own.

    Attributes:
        real, imaginary: the parts.
    """

    __slots__ = ("imaginary", "real")

    def __init__(self, real: Scalar, imaginary: Scalar) -> None:
        self.real = real
        self.imaginary = imaginary
        self.value = MP.mpc(real.value, imaginary.value)
        self.approximate = abs(complex(real.approximate, imaginary.approximate))
        self.error = real.error + imaginary.error
        carries = real.operation is not None or imaginary.operation is not None
        self.operation = _PARTS if carries else None
        self.operands = (real, imaginary)


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


class Entered(Operation):
    """An input element: a symbol of its own."""

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        assert isinstance(scalar, Symbol)
        return sp.Symbol(scalar.name, real=True)


class _Parts(Operation):
    """Of a pair: only its parts are differentiated."""

    def locals(self, scalar: Scalar) -> list[Local]:
        raise NoRule("a rule for real numbers was asked for the derivative of a complex one")


class Sum(Operation):
    """a0 + a1 + ...; of what carries no symbol one operand is the sum."""

    def locals(self, scalar: Scalar) -> list[Local]:
        return [(operand, MP.one, 0.0) for operand in scalar.operands if operand.operation is not None]

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        return sp.Add(*operands)


class Dot(Operation):
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


class Product(Operation):
    """a0 * a1 * ...

    torch divides the product by each factor: what the product lost below the normal numbers is missing in all quotients.
    """

    def locals(self, scalar: Scalar) -> list[Local]:
        operands = scalar.operands
        size = abs(scalar.approximate)
        lost = scalar.error + least_normal() if 0 < size < least_normal() else 0.0
        before = [(MP.one, 0.0)]
        for operand in operands[:-1]:
            before.append(times(before[-1], operand))
        after = (MP.one, 0.0)
        found = []
        for place in range(len(operands) - 1, -1, -1):
            operand = operands[place]
            if operand.operation is not None:
                value, error = before[place]
                rest = value * after[0]
                moved = moved_product(abs(float(value)), error, abs(float(after[0])), after[1])
                quotient = lost / abs(operand.approximate) if lost else 0.0
                found.append((operand, rest, moved + rounded(rest) + quotient))
            after = times(after, operand)
        return found

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        return sp.Mul(*operands)


def times(product: tuple[Any, float], factor: Scalar) -> tuple[Any, float]:
    """(value, error) of one factor more."""
    value = product[0] * factor.value
    moved: float = moved_product(abs(float(product[0])), product[1], abs(factor.approximate), factor.error)
    return value, moved + rounded(value)


class Applied(Operation):
    """A function of the operands, whose derivatives are sympy's."""

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
        expression = self.function.expression
        if not expression.has(sp.Piecewise):
            return expression.xreplace(dict(zip(self.function.parameters, operands, strict=True)))
        _refuse_many_cases(operands)
        hidden = _unsolvable(dict.fromkeys(condition for operand in operands for condition in _conditions(operand)))
        given = [operand.xreplace(hidden) for operand in operands]
        return _shown_again(expression.xreplace(dict(zip(self.function.parameters, given, strict=True))), hidden)

    def kinks(self, scalar: Scalar, unit: float) -> list[str]:
        return self.function.kinks_at([(operand.value, operand.error) for operand in scalar.operands], unit)


def _conditions(operand: sp.Expr) -> Iterator[Any]:
    for cases in operand.atoms(sp.Piecewise):
        yield from (condition for _, condition in cases.args if condition.free_symbols)


def _unsolvable(conditions: Iterable[Any]) -> dict[Any, sp.Gt]:
    """A comparison of two variables for each: sympy would solve one in a single variable, which may take hours."""
    return {condition: sp.Gt(sp.Dummy(real=True), sp.Dummy(real=True)) for condition in conditions}


def _shown_again(expression: sp.Expr, hidden: Mapping[Any, sp.Gt]) -> sp.Expr:
    """The conditions in the places of what stands for them, which sympy may have turned around meanwhile."""
    meant: dict[Any, Any] = {}
    for condition, stand_in in hidden.items():
        for one in (stand_in, stand_in.reversed):
            meant |= {one: condition, sp.Not(one): sp.Not(condition)}
    shown = expression.xreplace(meant)
    if any(not shown.free_symbols.isdisjoint(stand_in.free_symbols) for stand_in in hidden.values()):
        raise NoRule("conditions within conditions")
    return shown


def _refuse_many_cases(operands: Sequence[sp.Expr]) -> None:
    """Objects to operands that are to stand in conditions and are themselves told by cases, which sympy multiplies out.

    Raises:
        NoRule: that would take minutes, or a case is NaN, which sympy compares with nothing.
    """
    told_by_cases = {one for operand in operands for one in operand.atoms(sp.Piecewise)}
    if math.prod(len(one.args) for one in told_by_cases) > _MOST_CASES:
        raise NoRule("conditions on numbers that are themselves told by many cases")
    if any(one.has(sp.nan) for one in told_by_cases):
        raise NoRule("conditions on numbers that are NaN in some case")


class Selected(Operation):
    """One of several, by its value; operands[0] is it, the others may tie with it: all do where it is NaN."""

    def __init__(self, name: str) -> None:
        self.name = name

    def locals(self, scalar: Scalar) -> list[Local]:
        if MP.isnan(scalar.value):
            return [(operand, MP.nan, 0.0) for operand in scalar.operands if operand.operation is not None]
        chosen = scalar.operands[0]
        return [] if chosen.operation is None else [(chosen, MP.one, 0.0)]

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        return operands[0]

    def kinks(self, scalar: Scalar, unit: float) -> list[str]:
        return [f"tie in {self.name}"] if not MP.isnan(scalar.value) and len(tied(scalar, unit)) > 1 else []


def tied(selected: Scalar, unit: float) -> list[Scalar]:
    """The one that was selected and those that rounding of `unit` may have made equal to it."""
    best, *others = selected.operands
    return [best, *(other for other in others if may_tie(best, other, unit))]


def may_tie(first: Scalar, second: Scalar, unit: float) -> bool:
    """Whether two elements are equal, or near enough that rounding of `unit` may have made them so."""
    if MP.isnan(first.value) or first.value == second.value:
        return True
    error = unit * (first.error + second.error)
    return error > 0 and bool(abs(first.value - second.value) <= error)


_SYMBOL, _PARTS = Entered(), _Parts()
