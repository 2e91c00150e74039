"""Running bounds on rounding: how far a result computed in a dtype may be from the true one, to first order.

A running error analysis after Wilkinson (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.3):
every number is a pair (value, error), the error in units of u, the unit roundoff of the dtype in which torch
computes. An operation adds |result| (a library function 2 |result|) to what its operands' errors already move it by.
A sum of n terms adds spread(n) times the sum of |terms|, where spread grows like sqrt(n): the order in which torch
adds is not known, the worst case n is never met, and a bound that grew like n would hide faults. `SAFETY` covers what
first order leaves out.

Below the normal numbers spacing no longer shrinks: rounding there costs half a spacing, which is u times the smallest
normal number. So a result costs `rounded(result)`: its size, and at least that number; an exact 0 costs nothing. What
follows moves that error like any other. Where a result lies beyond the largest number of the dtype torch may have had an
infinity instead: no bound holds then, and `Range` keeps that it was so.

Everything here is float64 (a bound needs no more), on arrays or single numbers alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp
import torch

from gradviz.symbolic.arithmetic import EXACT, RELATIONS, WIDE

SAFETY = 4.0
LIBRARY_ROUNDING = 2.0
ROUGHER = {"erf": 4.0}
"""Functions that some kernels of torch take less accurately: that of gelu is off by up to 3 units of 1 + erf (AVX-512)."""
ROUNDED_WITHIN: dict[str, Callable[[Any], Any]] = {"Erfcx": lambda x: np.minimum(x, 0.0) ** 2}
"""Units more by what is rounded within a function: left of 0 torch takes erfcx as 2 exp(x²) - erfcx(-x)."""
_SMALL_SHARE = 2.0**-10
_FEW = 8
SERIES_ROUNDING = 100.0  # the gamma family: torch sums short series, absolutely accurate only


def unit_roundoff(dtype: torch.dtype) -> float:
    """u: half the distance from 1 to the next number of `dtype`; 0 for integers, which do not round.

    >>> unit_roundoff(torch.float64) == 2.0**-53
    True
    """
    return torch.finfo(dtype).eps / 2 if dtype.is_floating_point or dtype.is_complex else 0.0


def smallest(dtype: torch.dtype) -> float:
    """The distance between subnormal numbers of `dtype`."""
    kind = torch.finfo(dtype)
    return kind.tiny * kind.eps


_ERF_IN_BFLOAT16 = 2.0**-21 / SAFETY / unit_roundoff(torch.bfloat16)


class Range:
    """The range of a dtype, and whether numbers that were made in it left it upwards.

    Attributes:
        unit: u of the dtype; 0 outside of any.
        least: the smallest normal number.
        largest: the largest finite one.
        overflowed: whether a finite number beyond `largest` was made while this was entered.
    """

    def __init__(self, dtype: torch.dtype | None = None) -> None:
        kind = None if dtype is None else torch.finfo(dtype)
        self.unit = 0.0 if dtype is None else unit_roundoff(dtype)
        self.least = 0.0 if kind is None else kind.tiny
        self.largest = math.inf if kind is None else kind.max
        self.overflowed = False

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, numbers are rounded in this dtype, and numpy says nothing of what is not finite."""
        before = _RANGE.set(self)
        try:
            with np.errstate(all="ignore"):
                yield
        finally:
            _RANGE.reset(before)


_RANGE: ContextVar[Range] = ContextVar("range", default=Range())  # noqa: B039


def least_normal() -> float:
    """The smallest normal number of the dtype that is rounded in; 0 outside of any."""
    return _RANGE.get().least


def unit_in_use() -> float:
    """u of the dtype that is rounded in; 0 outside of any."""
    return _RANGE.get().unit


def rounded(value: Any) -> float:
    """What rounding this exact result costs, in units of u.

    >>> from gradviz.symbolic.arithmetic import EXACT
    >>> rounded(EXACT.number(-3.0))
    3.0
    >>> with Range(torch.float32).entered():
    ...     rounded(EXACT.number(1e-60)) == torch.finfo(torch.float32).tiny, rounded(EXACT.number(0))
    (True, 0.0)
    """
    if not value:
        return 0.0
    size = abs(float(value))
    kind = _RANGE.get()
    if size > kind.largest and abs(value) < math.inf:
        kind.overflowed = True
    return kind.least if size < kind.least else size


def all_rounded(values: Any, is_zero: Any = None) -> Any:
    """What rounding each of these results costs, in units of u; `is_zero` says which are exactly 0, if others underflow."""
    kind = _RANGE.get()
    size = np.abs(values).astype(np.float64)
    largest = size.max(initial=0.0)
    if not largest <= kind.largest and ((size > kind.largest) & np.isfinite(values)).any():
        kind.overflowed = True
    if not kind.least:
        return size
    return np.where(values == 0 if is_zero is None else is_zero, 0.0, np.maximum(size, kind.least))


def kernel_error(payload: str) -> float:
    """What the kernel of a function costs beside the rounding of its result, in units of u, where that is not exactly 0.

    torch computes `erf` of bfloat16 in float32 as 1 less a product, which is off by up to 3.6e-7 (seen on 2.13, of all
    numbers): by as much as the value itself below 1e-6.

    >>> with Range(torch.bfloat16).entered():
    ...     kernel_error("erf") * unit_in_use() * SAFETY == 2**-21, kernel_error("sin")
    (True, 0.0)
    """
    return _ERF_IN_BFLOAT16 if payload == "erf" and unit_in_use() == unit_roundoff(torch.bfloat16) else 0.0


def spread(terms: int) -> float:
    """Units of u per unit of sum |terms| that adding `terms` numbers in an unknown order costs."""
    return 0.0 if terms < 2 else min(terms - 1.0, 2.0 + math.sqrt(terms))


def moved_product(one: Any, one_error: Any, other: Any, other_error: Any) -> Any:
    """How far the errors of two factors move their product, in units of u; of the factors their sizes.

    What both errors do together is all there is where the factors cancelled to 0: the square of a deviation from the mean
    of equal numbers, which torch's rounding makes (u · mean)².

    >>> with Range(torch.float32).entered():
    ...     moved_product(3.0, 1.0, 2.0, 0.0), moved_product(0.0, 2.0, 0.0, 2.0) * 2.0**24
    (2.0, 4.0)
    """
    half = 0.5 * unit_in_use()
    return one_error * (other + half * other_error) + other_error * (one + half * one_error)


def moved_power(base: Any, base_error: Any, exponent: Any, size: Any) -> Any:
    """How far an error of the base moves base ** exponent, of this size, in units of u; run it under `np.errstate`.

    To first order while that is small beside the base; else as far as the base may be off: a root, near 0, less than its
    slope there says. Of reciprocals no more than half of the base is taken away, then in proportion. An infinite base
    carries no error: 1 / (1 + exp(-x)) at -∞ is 0.

    >>> with Range(torch.float32).entered():
    ...     float(moved_power(4.0, 1.0, 0.5, 2.0)), float(moved_power(0.0, 1.0, 0.5, 0.0)) * 2.0**-24 == 2.0**-12
    (0.25, True)
    """
    unit = unit_in_use()
    base = np.abs(np.float64(base))
    exponent = np.float64(exponent)
    first = np.where((base_error == 0) | np.isinf(base), 0.0, np.abs(exponent) * size * (base_error / base))
    share = unit * np.float64(base_error) / base
    if not np.any(share > _SMALL_SHARE):
        return first
    nearer = np.minimum(share, 0.5)
    reciprocal, root = ((1 - nearer) ** exponent - 1) * share / nearer, 1 - (1 - np.minimum(share, 1.0)) ** exponent
    down = np.where(exponent < 0, reciprocal, root)
    far = size * np.maximum(np.abs((1 + share) ** exponent - 1), down) / unit
    at_zero = np.where(exponent < 0, np.inf, (unit * np.float64(base_error)) ** exponent / unit)
    return np.where(share > _SMALL_SHARE, np.where(base == 0, at_zero, far), first)


def exactly_held(value: float) -> bool:
    """Whether float32, the narrowest type torch computes scalars in, holds `value` without rounding."""
    return not math.isfinite(value) or (abs(value) < 3e38 and float(np.float32(value)) == value)


def _lgamma_slope(x: Any) -> Any:
    return np.log(np.abs(x) + 2) + 1 / np.where(x == 0, 1e-300, np.abs(x - np.rint(np.minimum(x, 0))))


def library_error(function: str, x: Any, cost: Any) -> Any:
    """What a function of torch's libraries is off by at x, where to round its result costs so much, both in units of u."""
    within = ROUNDED_WITHIN.get(function)
    roundings = ROUGHER.get(function, LIBRARY_ROUNDING) + (0.0 if within is None else within(x))
    return roundings * cost + kernel_error(function) * (cost > 0)


def moved_wave(slope: Any, x_error: Any) -> Any:
    """How far an error of its argument moves a sine or cosine of this slope, in units of u: to second order, and 2 at most.

    At a crest the slope is 0: cos(π x) of a large whole number x is off by what the square of the rounding of π x makes.

    >>> with Range(torch.float16).entered():
    ...     [float(moved_wave(0.0, error)) * 2.0**-11 for error in (2.0**10, 2.0**11, 2.0**20)]
    [0.125, 0.5, 2.0]
    """
    unit = unit_in_use()
    moved = x_error * (np.abs(slope) + 0.5 * unit * x_error)
    return np.minimum(moved, 2.0 / unit) if unit else moved


# |f'(x)| of each library function, from x and f(x).
SLOPES: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda x, y: y,
    "exp2": lambda x, y: y,
    "expm1": lambda x, y: y + 1,
    "log": lambda x, y: 1 / x,
    "log2": lambda x, y: 1.5 / x,
    "log10": lambda x, y: 1 / x,
    "log1p": lambda x, y: 1 / (1 + x),
    "sin": lambda x, y: np.cos(x),
    "cos": lambda x, y: np.sin(x),
    "tan": lambda x, y: 1 + y * y,
    "sinh": lambda x, y: np.cosh(x),
    "cosh": lambda x, y: np.sinh(x),
    "tanh": lambda x, y: 1 - y * y,
    "asin": lambda x, y: 1 / np.sqrt(1 - x * x),
    "acos": lambda x, y: 1 / np.sqrt(1 - x * x),
    "atan": lambda x, y: 1 / (1 + x * x),
    "asinh": lambda x, y: 1 / np.sqrt(1 + x * x),
    "acosh": lambda x, y: 1 / np.sqrt(x * x - 1),
    "atanh": lambda x, y: 1 / (1 - x * x),
    "erf": lambda x, y: 1.13 * np.exp(-x * x),
    "erfc": lambda x, y: 1.13 * np.exp(-x * x),
    "Erfcx": lambda x, y: 2 * x * y - 1.13,
    "Entr": lambda x, y: np.log(x) + 1,
    "erfinv": lambda x, y: 0.9 * np.exp(y * y),
    "loggamma": lambda x, y: _lgamma_slope(x),
    "sinc": lambda x, y: 1.0,
    "Abs": lambda x, y: 1.0,
}
SUMMED_SERIES = {"loggamma", "polygamma", "erfinv", "zeta", "besseli", "ScaledBessel"}
WAVES = {"sin", "cos"}
UNBOUNDED = {"exp", "exp2", "expm1", "sinh", "cosh"}
EXACT_IN_ANY_DTYPE = {"Abs", "sign", "Floor", "Ceil", "Round", "Trunc"}

Bounded = tuple[Any, Any]


class RoundingArithmetic:
    """Pairs (value, error in units of u); run it under `np.errstate(all="ignore")`."""

    def constant(self, number: sp.Expr) -> Bounded:
        value = np.float64(EXACT.constant(number))
        return value, np.float64(0.0 if exactly_held(float(value)) else rounded(value))

    def add(self, payload: Any, values: Sequence[Bounded]) -> Bounded:
        total, error = values[0]
        for value, more in values[1:]:
            total = _seen(total + value, total, value)
            error = error + more + all_rounded(total)
        return total, error

    def multiply(self, payload: Any, values: Sequence[Bounded]) -> Bounded:
        product, error = values[0]
        for value, more in values[1:]:
            error = moved_product(np.abs(product), error, np.abs(value), more)
            is_zero = (product == 0) | (value == 0)
            product = _seen(product * value, product, value)
            error = error + all_rounded(product, is_zero)
        if np.isnan(error).any():  # 0 times infinity; infinite values carry no error
            unbounded = reduce(np.logical_or, [np.isinf(more) for _, more in values]) & np.isfinite(product) & (product != 0)
            error = np.where(np.isnan(error) & ~np.isnan(product), np.where(unbounded, np.inf, 0.0), error)
        return product, error

    def power(self, payload: sp.Rational | None, values: Sequence[Bounded]) -> Bounded:
        (base, base_error), (exponent, exponent_error) = values
        underflowed = (base_error > 0) & (base_error <= _FEW * least_normal())  # more is what cancelled
        result = _seen(np.power(base, exponent), np.where((base == 0) & ~underflowed, np.inf, base), exponent)
        error = moved_power(base, base_error, exponent, np.abs(result))
        if payload is None:
            moved = np.abs(result * np.log(np.abs(base)))
            error = error + np.where(exponent_error == 0, 0.0, moved * exponent_error)
        return result, error + all_rounded(result, base == 0) * (1.0 if payload in (-1, 2, sp.S.Half) else LIBRARY_ROUNDING)

    def function(self, payload: str, values: Sequence[Bounded]) -> Bounded:
        result = np.asarray(WIDE.function(payload, [value for value, _ in values]), dtype=np.float64)
        if payload in UNBOUNDED:
            _seen(result, values[0][0])
        if payload in EXACT_IN_ANY_DTYPE:
            return result, values[0][1] if payload == "Abs" else np.zeros_like(result)
        error = library_error(payload, values[0][0], all_rounded(result))
        if payload in SUMMED_SERIES:
            error = SERIES_ROUNDING * np.maximum(np.abs(result), 1.0)
        slope = SLOPES.get(payload)
        if slope is not None:
            x, x_error = values[0]
            moved = moved_wave(slope(x, result), x_error) if payload in WAVES else np.abs(slope(x, result)) * x_error
            error = error + np.where(x_error == 0, 0.0, moved)
        elif payload == "atan2":
            (y, y_error), (x, x_error) = values
            error = error + (np.abs(x) * y_error + np.abs(y) * x_error) / (x * x + y * y)
        else:
            moved = sum(value_error * np.abs(result / value) for value, value_error in values)
            error = error + np.where(np.isfinite(moved), moved, 0.0)
        return result, error

    def choose(self, payload: Any, values: Sequence[Any]) -> Bounded:
        value, error = values[-1]
        for place in range(len(values) - 3, -1, -2):
            condition = values[place + 1]
            value = np.where(condition, values[place][0], value)
            error = np.where(condition, values[place][1], error)
        return value, error

    def compare(self, payload: str, values: Sequence[Bounded]) -> Any:
        return RELATIONS[payload](values[0][0], values[1][0])

    def logic(self, payload: str, values: Sequence[Any]) -> Any:
        return WIDE.logic(payload, values)


def _seen(result: Any, *operands: Any) -> Any:
    """The result; where float64 has none for these finite operands, the range of whatever dtype is rounded in was left."""
    kind = _RANGE.get()
    if kind.unit and not kind.overflowed:
        beyond = np.isinf(result)
        if beyond.any() and (beyond & reduce(np.logical_and, map(np.isfinite, operands))).any():
            kind.overflowed = True
    return result


ROUNDING = RoundingArithmetic()
