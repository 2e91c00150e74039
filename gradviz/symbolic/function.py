"""Functions of scalars, defined by a sympy expression and differentiated by sympy: once per function, argument and
options.

A `ScalarFunction` knows its value, its partial derivatives, their rounding and its kinks, in exact numbers (50
digits) and on whole arrays (wide floats). Where torch computes a derivative from the function's own result (tanh: 1 -
result²), the function may carry that written form too: people are shown it and rounding is bounded on it, but the
truth is always sympy's own derivative of the expression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, reduce
from typing import Any

import numpy as np
import sympy as sp

from gradviz.symbolic.arithmetic import EXACT, MP, WIDE
from gradviz.symbolic.complex_arithmetic import COMPLEX, ComplexNumber, size_of
from gradviz.symbolic.rounding import ROUNDING
from gradviz.symbolic.tape import Arithmetic, Tape
from gradviz.symbolic.tracked import TRACKED, TrackedNumber

RESULT = sp.Symbol("result", real=True)


class _Step(sp.Function):  # type: ignore[misc]
    """A step function: its derivative is 0 wherever it has one."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.S.Zero


class Floor(_Step):
    """floor(x), with derivative 0 (sympy's own leaves the derivative unevaluated)."""


class Ceil(_Step):
    """ceil(x), with derivative 0."""


class Round(_Step):
    """The integer nearest to x, ties to even, with derivative 0."""


class Trunc(_Step):
    """The integer part of x, with derivative 0."""


class ScalarFunction:
    """One function of scalars.

    Attributes:
        name: for people, `tanh`.
        parameters: its real symbols, in order.
        expression: the function, in those symbols.
        written: parameter place -> the partial as torch computes it, in the parameters and `RESULT`.
        kinks: name -> an expression that is zero exactly where the derivative does not exist (or is one-sided).
        limits: parameter place -> the partial where its formula says nothing, as 0 times infinity: by cases, without one for
            elsewhere; NaN where there is none.
        takes_nan: whether the branches say what becomes of NaN; else a function that chooses them by comparing is NaN where
            what it compares is.

    >>> x = sp.Symbol("x", real=True)
    >>> tanh = ScalarFunction("tanh", (x,), sp.tanh(x), written={0: 1 - RESULT**2})
    >>> tanh.partial(0), tanh.shown_partial(0)
    (1 - tanh(x)**2, 1 - result**2)
    >>> print(tanh.exact_partial(0, [EXACT.number(0.0)]))
    1.0
    """

    def __init__(
        self,
        name: str,
        parameters: Sequence[sp.Symbol],
        expression: sp.Expr,
        *,
        written: Mapping[int, sp.Expr] | None = None,
        kinks: Mapping[str, sp.Expr] | None = None,
        limits: Mapping[int, sp.Piecewise] | None = None,
        takes_nan: bool = False,
    ) -> None:
        self.name = name
        self.parameters = tuple(parameters)
        self.expression = sp.sympify(expression)
        self.written = dict(written or {})
        self.kinks = {kink: sp.sympify(zero) for kink, zero in (kinks or {}).items()}
        self.limits = dict(limits or {})
        self.takes_nan = takes_nan
        self._partials: dict[int, sp.Expr] = {}
        self._tapes: dict[tuple[str, int | str], Tape] = {}

    def partial(self, place: int) -> sp.Expr:
        """sympy's derivative of the expression with respect to parameter `place`."""
        known = self._partials.get(place)
        if known is None:
            known = self._partials[place] = sp.diff(self.expression, self.parameters[place])
        return known

    @cached_property
    def may_ignore(self) -> bool:
        """Whether some arguments may be without effect; see `ignored`."""
        return bool(self._factors or self._branches)

    def ignored(self, known: Sequence[Any], result: Any) -> set[int]:
        """Places of arguments that the result does not depend on: in a branch not taken, or beside a factor that is 0.

        Such an argument has the derivative 0 even where its own is infinite, while autograd makes NaN of 0 × ∞.

        Args:
            known: the values of arguments that are plain numbers, such as a mask; None for all others.
            result: the value of the function.
        """
        everything = set(range(len(self.parameters)))
        if any(known[place] == 0 for place in self._factors):
            return everything if MP.isfinite(result) else set()
        for branch, condition in self._branches:
            if condition is not None and known[condition] is None:
                return set()
            if condition is None or known[condition] != 0:
                return {place for place in everything if self.parameters[place] not in branch.free_symbols}
        return set()

    @cached_property
    def _compared(self) -> tuple[int, ...]:
        """Places of the parameters of branches that are chosen by comparing: NaN among them leaves the result undefined."""
        if self.takes_nan:
            return ()
        chosen = [piece for piece in self.expression.atoms(sp.Piecewise) if any(map(_compares, piece.args))]
        symbols = {symbol for piece in chosen for symbol in piece.free_symbols}
        return tuple(place for place, symbol in enumerate(self.parameters) if symbol in symbols)

    def _is_undefined(self, arguments: Sequence[Any]) -> bool:
        return any(MP.isnan(arguments[place]) for place in self._compared)

    def _is_limit(self, place: int, arguments: Sequence[Any], arithmetic: Arithmetic = EXACT) -> Any:
        """Whether, and in arrays where, `limits` has the partial at these arguments."""
        return place in self.limits and self._on_arrays(self._tape("is limit", place), arithmetic, arguments) == 1

    def _defined(self, result: Any, arguments: Sequence[Any]) -> Any:
        """The result at wide arrays, NaN where what was compared is."""
        for place in self._compared:
            undefined = np.isnan(arguments[place])
            if undefined.any():
                result = np.where(undefined, np.longdouble("nan"), result)
        return result

    @cached_property
    def _factors(self) -> tuple[int, ...]:
        """Places of the parameters that the expression is a multiple of."""
        factors = self.expression.args if self.expression.is_Mul else ()
        return tuple(place for place, symbol in enumerate(self.parameters) if symbol in factors)

    @cached_property
    def _branches(self) -> tuple[tuple[sp.Expr, int | None], ...]:
        """(branch, place of the parameter that is not 0 where it is taken), None for the last; () unless all are so."""
        if not isinstance(self.expression, sp.Piecewise):
            return ()
        conditions = {sp.Ne(symbol, 0): place for place, symbol in enumerate(self.parameters)} | {sp.true: None}
        branches = self.expression.args
        known = all(branch.cond in conditions for branch in branches)
        return tuple((branch.expr, conditions[branch.cond]) for branch in branches) if known else ()

    def shown_partial(self, place: int) -> sp.Expr:
        """The partial as torch computes it and people write it, in the parameters and `RESULT`."""
        return self.written.get(place, self.partial(place))

    def tracked_value(self, arguments: Sequence[TrackedNumber]) -> TrackedNumber:
        """(value to 50 digits, error in units of u) at arguments that are such pairs themselves."""
        if self._compared and self._is_undefined([value for value, _ in arguments]):
            return MP.nan, 0.0
        result: TrackedNumber = self._value_tape.run(TRACKED, arguments)
        return result

    def tracked_partial(self, place: int, arguments: Sequence[TrackedNumber], result: TrackedNumber) -> TrackedNumber:
        """(partial to 50 digits, error in units of u): the error is that of the written form, given the result."""
        exact = [value for value, _ in arguments]
        if self._is_undefined(exact):
            return MP.nan, 0.0
        shown: TrackedNumber = self._tape("shown", place).run(TRACKED, [*arguments, result])
        if place not in self.written and place not in self.limits:
            return shown
        error = shown[1]
        if math.isnan(error) and self._is_limit(place, exact):  # where an argument is moved by rounding it is no limit
            error = math.inf if any(moved for _, moved in arguments) else 0.0
        return self.exact_partial(place, exact), error

    def kinks_at(self, arguments: Sequence[TrackedNumber], unit: float) -> list[str]:
        """The names of the kinks that the arguments lie on, within the rounding that they carry."""
        found = []
        for kink in self.kinks:
            value, error = self._tape("kink", kink).run(TRACKED, arguments)
            alike = MP.isnan(value) and not any(MP.isnan(one) for one, _ in arguments)  # ∞ - ∞: a tie
            if value == 0 or abs(float(value)) <= 2 * unit * error or alike:
                found.append(kink)
        return found

    def complex_value(self, arguments: Sequence[ComplexNumber]) -> ComplexNumber:
        """(value to 50 digits, radius of its error in units of u) at complex arguments that are such pairs themselves."""
        with np.errstate(all="ignore"):
            result: ComplexNumber = self._value_tape.run(COMPLEX, arguments)
        return result

    def complex_partial(self, place: int, arguments: Sequence[ComplexNumber], result: ComplexNumber) -> ComplexNumber:
        """(complex partial to 50 digits, radius of its error): as `tracked_partial`, at complex arguments."""
        with np.errstate(all="ignore"):
            shown: ComplexNumber = self._tape("shown", place).run(COMPLEX, [*arguments, result])
            if place not in self.written:
                return shown
            exact = [(value, 0.0) for value, _ in arguments]
            return self._tape("partial", place).run(COMPLEX, exact)[0], shown[1]

    def complex_kinks_at(self, arguments: Sequence[ComplexNumber], unit: float) -> list[str]:
        """The names of the kinks that complex arguments lie on, within the rounding that they carry."""
        found = []
        with np.errstate(all="ignore"):
            for kink in self.kinks:
                value, error = self._tape("kink", kink).run(COMPLEX, arguments)
                if value == 0 or size_of(value) <= 2 * unit * error:
                    found.append(kink)
        return found

    def exact_value(self, arguments: Sequence[Any]) -> Any:
        """The value at exact numbers, to 50 digits."""
        return MP.nan if self._is_undefined(arguments) else self._value_tape.run(EXACT, arguments)

    def exact_partial(self, place: int, arguments: Sequence[Any]) -> Any:
        """The partial with respect to parameter `place` at exact numbers, to 50 digits."""
        if self._is_undefined(arguments):
            return MP.nan
        return self._tape("limit" if self._is_limit(place, arguments) else "partial", place).run(EXACT, arguments)

    def wide_value(self, arguments: Sequence[Any]) -> Any:
        """The value at wide arrays, broadcast."""
        return self._defined(self._on_arrays(self._value_tape, WIDE, arguments), arguments)

    def wide_partial(self, place: int, arguments: Sequence[Any]) -> Any:
        """The partial at wide arrays, broadcast, in its written form: sympy's may overflow in a float."""
        tape = self._tape("shown", place)
        result = [self.wide_value(arguments)] if self._needs_result(place) else [np.longdouble(0)]
        partial = self._defined(self._on_arrays(tape, WIDE, [*arguments, *result]), arguments)
        if place not in self.limits:
            return partial
        limit = self._on_arrays(self._tape("limit", place), WIDE, arguments)
        return np.where(self._is_limit(place, arguments, WIDE), limit, partial)

    def value_rounding(self, arguments: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """(value, error in units of u) of the value at arguments that are such pairs themselves."""
        with np.errstate(all="ignore"):
            value, error = self._value_tape.run(ROUNDING, arguments)
        return value, error

    def partial_rounding(self, place: int, arguments: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """(value, error in units of u) of the partial in the form in which torch computes it."""
        result = self.value_rounding(arguments) if self._needs_result(place) else (np.float64(0), np.float64(0))
        with np.errstate(all="ignore"):
            value, error = self._tape("shown", place).run(ROUNDING, [*arguments, result])
        if place in self.limits:
            at_limit = np.isnan(error) & self._is_limit(place, [value for value, _ in arguments], WIDE)
            moved = reduce(np.add, [more for _, more in arguments])
            error = np.where(at_limit, np.where(moved == 0, 0.0, np.inf), error)
        return value, error

    def kink_masks(self, arguments: Sequence[tuple[Any, Any]], unit: float) -> dict[str, Any]:
        """kink name -> where it lies, within the rounding that the arguments carry."""
        masks = {}
        with np.errstate(all="ignore"):
            for kink in self.kinks:
                value, error = self._tape("kink", kink).run(ROUNDING, arguments)
                unknown = reduce(np.logical_or, [np.isnan(one) for one, _ in arguments])
                alike = np.isnan(value) & ~unknown  # ∞ - ∞: a tie
                masks[kink] = (np.abs(value) <= 2 * unit * error) | (value == 0) | alike
        return masks

    @cached_property
    def _value_tape(self) -> Tape:
        return Tape(self.expression, self.parameters)

    def _needs_result(self, place: int) -> bool:
        return place in self.written and RESULT in self.written[place].free_symbols

    def _tape(self, kind: str, which: int | str) -> Tape:
        tape = self._tapes.get((kind, which))
        if tape is None:
            if isinstance(which, str):
                expression, parameters = self.kinks[which], self.parameters
            elif kind == "limit":
                expression, parameters = self.limits[which], self.parameters
            elif kind == "is limit":
                holds = sp.Or(*(case.cond for case in self.limits[which].args))
                expression, parameters = sp.Piecewise((1, holds), (0, True)), self.parameters
            elif kind == "partial":
                expression, parameters = self.partial(which), self.parameters
            else:
                expression, parameters = self.shown_partial(which), (*self.parameters, RESULT)
            tape = self._tapes[kind, which] = Tape(expression, parameters)
        return tape

    def _on_arrays(self, tape: Tape, arithmetic: Arithmetic, arguments: Sequence[Any]) -> Any:
        with np.errstate(all="ignore"):
            return tape.run(arithmetic, arguments)


def _compares(branch: sp.Expr) -> bool:
    """Whether a branch of a piecewise function is chosen by anything but a mask, which is not 0 where it is taken."""
    return any(not isinstance(relation, sp.Ne) for relation in branch.cond.atoms(sp.core.relational.Relational))


def function_of_one(name: str, sympy_function: Any, written: sp.Expr | None = None) -> ScalarFunction:
    """The `ScalarFunction` of a sympy function of one argument; `written` in the symbol x and `RESULT`."""
    x = sp.Symbol("x", real=True)
    return ScalarFunction(name, (x,), sympy_function(x), written=None if written is None else {0: written})
