"""Functions at complex elements: the complex derivative, which sympy derives, as a 2x2 Jacobian of real and imaginary part.

Torch keeps as the gradient of a real loss L at z = x + iy the number ∂L/∂x + i ∂L/∂y, twice the conjugate Wirtinger
derivative ∂L/∂z*. ("Autograd mechanics", section "Autograd for Complex Numbers" of torch's documentation, whose boxed
formula, grad* ∂s/∂z* + grad (∂s/∂z)*, keeps that factor as it is.) So what autograd computes is the plain VJP of the real
function (x, y) -> (u, v) with the cotangent's parts as weights, and real partials are all that is needed. For an analytic
f = u + iv they are (Cauchy, Riemann)

    ∂u/∂x = Re f',  ∂u/∂y = -Im f',  ∂v/∂x = Im f',  ∂v/∂y = Re f'.

A function of |z| is one of z and of the modulus, which is a real function of x and y; other functions that are not
analytic are stated in the parts, by rules of their own: `rules/complex_rules.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sympy as sp

from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.element import Applied, Local, Operation, Pair, Scalar
from gradviz.symbolic.function import ScalarFunction

_x, _y = sp.symbols("x y", real=True)
_square = _x**2 + _y**2
MODULUS = ScalarFunction(
    "modulus", (_x, _y), sp.Piecewise((sp.sqrt(_square), _square > 0), (0, True)), kinks={"modulus at 0": _square}
)


def apply_to_pairs(function: ScalarFunction, operands: Sequence[Scalar]) -> Scalar:
    """The function at operands of which some are complex; a real element where it is a function of moduli only."""
    places = tuple(place for place, operand in enumerate(operands) if isinstance(operand, Pair))
    plain, of_modulus = _without_modulus(function, places)
    given = [*operands, *(modulus(operands[place]) for place in of_modulus)]
    if any(plain.parameters[place] in plain.expression.free_symbols for place in places):
        return _Analytic(plain, tuple(given)).result()
    return _applied(_of_reals(plain, places), [one for one in given if not isinstance(one, Pair)])


def modulus(element: Scalar) -> Scalar:
    """|z| of a complex element; a real one as it is."""
    return _applied(MODULUS, (element.real, element.imaginary)) if isinstance(element, Pair) else element


def _applied(function: ScalarFunction, operands: Sequence[Scalar]) -> Scalar:
    value, error = function.tracked_value([(operand.value, operand.error) for operand in operands])
    if all(operand.operation is None for operand in operands):
        return Scalar(value, error)
    return Scalar(value, error, Applied(function), tuple(operands))


@cache
def _without_modulus(function: ScalarFunction, places: tuple[int, ...]) -> tuple[ScalarFunction, tuple[int, ...]]:
    """The function with the moduli of these parameters as parameters of their own, and whose moduli these are."""
    taken = {place: sp.Abs(function.parameters[place]) for place in places}
    used = {place: size for place, size in taken.items() if function.expression.has(size)}
    if not used:
        return function, ()
    symbols = {size: sp.Symbol(f"modulus{place}", real=True) for place, size in used.items()}
    return (
        ScalarFunction(
            function.name,
            (*function.parameters, *symbols.values()),
            function.expression.xreplace(symbols),
            kinks={name: zero.xreplace(symbols) for name, zero in function.kinks.items()},
        ),
        tuple(used),
    )


@cache
def _of_reals(function: ScalarFunction, places: tuple[int, ...]) -> ScalarFunction:
    """The function without these parameters, on which it does not depend; the modulus has their kinks."""
    dropped = {function.parameters[place] for place in places}
    kept = [parameter for parameter in function.parameters if parameter not in dropped]
    kinks = {name: zero for name, zero in function.kinks.items() if not zero.free_symbols & dropped}
    return ScalarFunction(function.name, kept, function.expression, kinks=kinks)


class _Analytic:
    """One function at one set of operands, shared by the two parts of its result."""

    def __init__(self, function: ScalarFunction, operands: tuple[Scalar, ...]) -> None:
        self.function = function
        self.operands = operands
        self._partials: list[tuple[Any, float]] | None = None
        self._at = [(MP.mpc(operand.value), operand.error) for operand in operands]
        self._value, self._error = function.complex_value(self._at)

    def result(self) -> Pair:
        parts = tuple(part for operand in self.operands for part in _parts(operand))
        real, imaginary = self._value.real, self._value.imag
        if all(operand.operation is None for operand in self.operands):
            return Pair(Scalar(real, self._error), Scalar(imaginary, self._error))
        return Pair(Scalar(real, self._error, _Part(self, 0), parts), Scalar(imaginary, self._error, _Part(self, 1), parts))

    def partials(self) -> list[tuple[Any, float]]:
        """For each operand the complex partial and its error."""
        if self._partials is None:
            result = (self._value, self._error)
            places = range(len(self.operands))
            self._partials = [self.function.complex_partial(place, self._at, result) for place in places]
        return self._partials

    def kinks(self, unit: float) -> list[str]:
        return self.function.complex_kinks_at(self._at, unit)


class _Part(Operation):
    """The real (0) or the imaginary (1) part of a function's complex result."""

    def __init__(self, analytic: _Analytic, part: int) -> None:
        self._analytic = analytic
        self._part = part

    def locals(self, scalar: Scalar) -> list[Local]:
        found: list[Local] = []
        for operand, (partial, error) in zip(self._analytic.operands, self._analytic.partials(), strict=True):
            along = (partial, MP.mpc(-partial.imag, partial.real))  # times 1 and times i
            for part, moved in zip(_parts(operand), along, strict=False):
                if part.operation is not None:
                    found.append((part, moved.imag if self._part else moved.real, error))
        return found

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        given = iter(operands)
        function = self._analytic.function
        entered = {
            parameter: next(given) + (sp.I * next(given) if isinstance(operand, Pair) else 0)
            for parameter, operand in zip(function.parameters, self._analytic.operands, strict=True)
        }
        whole = function.expression.xreplace(entered)
        return sp.im(whole) if self._part else sp.re(whole)

    def kinks(self, scalar: Scalar, unit: float) -> list[str]:
        return self._analytic.kinks(unit)


def _parts(operand: Scalar) -> tuple[Scalar, ...]:
    return (operand.real, operand.imaginary) if isinstance(operand, Pair) else (operand,)
