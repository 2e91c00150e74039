"""Two arithmetics for tapes: exact to 50 digits, and wide floats on whole arrays. `rounding.py` has the third, for
bounds.

`EXACT` is mpmath in a context of its own (the global `mpmath.mp.dps` is neither read nor set). Where the real
function is undefined it gives nan, as torch does, never a complex number.

`WIDE` is numpy `longdouble`: 64 bits of mantissa on x86, no wider than float64 on some machines; `WIDE_UNIT` says
which. Functions that numpy lacks go element by element through `EXACT`; erf and erfc have array code of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import sympy as sp
from mpmath.libmp import MPZ

from gradviz.symbolic.deadline import require_time
from gradviz.symbolic.wide import erf_wide, erfc_wide

PRECISION_DIGITS = 50
MP = mpmath.MPContext()
MP.dps = PRECISION_DIGITS
WIDE_UNIT = float(np.finfo(np.longdouble).eps) / 2
_HUGE = 2.0**70
_NAN = MP.nan
_INF = MP.inf
_FAILURES = (ValueError, ZeroDivisionError, OverflowError, NotImplementedError)


def _real(value: Any) -> Any:
    return value if isinstance(value, MP.mpf) else _NAN


def _power(base: Any, exponent: Any) -> Any:
    if exponent == 0:
        return MP.one
    if base == 0:
        return _INF if exponent < 0 else MP.zero if exponent > 0 else _NAN
    if base < 0 and exponent != MP.floor(exponent):
        return _NAN
    if abs(exponent) > _HUGE:
        return _NAN if base < 0 else _INF if (abs(base) > 1) == (exponent > 0) else MP.zero
    return _real(base**exponent)


def _guarded_exp(function: Callable[[Any], Any], low: Any) -> Callable[[Any], Any]:
    """`function` with its limits beyond every dtype's range, where mpmath would work on gigabytes of digits."""

    def guarded(value: Any) -> Any:
        if abs(value) > _HUGE:
            return _INF if value > 0 else low
        return function(value)

    return guarded


def _periodic(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def guarded(value: Any) -> Any:
        return _NAN if MP.mag(value) > 1100 else function(value)

    return guarded


_EXACT_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "exp": _guarded_exp(MP.exp, MP.zero),
    "exp2": _guarded_exp(lambda x: MP.mpf(2) ** x, MP.zero),
    "expm1": _guarded_exp(MP.expm1, MP.mpf(-1)),
    "cosh": lambda x: _INF if abs(x) > _HUGE else MP.cosh(x),
    "sinh": _guarded_exp(MP.sinh, -_INF),
    "tanh": lambda x: MP.sign(x) if abs(x) > 2000 else MP.tanh(x),
    "log": MP.log,
    "log2": lambda x: MP.log(x) / MP.log(2),
    "log10": MP.log10,
    "log1p": lambda x: _NAN if x < -1 else -_INF if x == -1 else MP.log1p(x),
    "sin": _periodic(MP.sin),
    "cos": _periodic(MP.cos),
    "tan": _periodic(MP.tan),
    "Abs": abs,
    "sign": MP.sign,
    "Floor": MP.floor,
    "Ceil": MP.ceil,
    "Round": MP.nint,
    "Trunc": lambda x: MP.floor(x) if x >= 0 else MP.ceil(x),
    "sqrt": MP.sqrt,
    "erf": lambda x: MP.sign(x) if abs(x) > 40 else MP.erf(x),
    "erfc": lambda x: MP.mpf(2) if x < -40 else MP.zero if x > 1e5 else MP.erfc(x),
    "asin": MP.asin,
    "acos": MP.acos,
    "atan": MP.atan,
    "asinh": MP.asinh,
    "acosh": MP.acosh,
    "atanh": MP.atanh,
    "atan2": MP.atan2,
    "loggamma": lambda x: MP.log(abs(MP.gamma(x))) if x < 0 else MP.loggamma(x),
    "polygamma": lambda n, x: MP.psi(int(n), x),
    "besseli": lambda n, x: _INF * (1 if x > 0 else (-1) ** int(n)) if MP.isinf(x) else MP.besseli(n, x),
    "ScaledBessel": lambda n, x: MP.zero if MP.isinf(x) else MP.exp(-abs(x)) * MP.besseli(n, x),
    "Erfcx": lambda x: MP.exp(x * x) * MP.erfc(x) if abs(x) < 1e9 else _INF if x < 0 else 1 / (x * MP.sqrt(MP.pi)),
    "erfinv": MP.erfinv,
    "Entr": lambda x: -x * MP.log(x) if x > 0 else MP.zero if x == 0 else -_INF,
    "sinc": MP.sinc,
    "zeta": MP.zeta,
}

RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}


class ExactArithmetic:
    """Real numbers to 50 digits, with inf and nan."""

    def number(self, value: float | int) -> Any:
        """The float or int as it is: every float is a binary fraction and is taken without rounding."""
        if type(value) is not float or not math.isfinite(value):
            return MP.mpf(value)
        numerator, denominator = value.as_integer_ratio()
        if denominator == 1:
            return MP.mpf(numerator)
        mantissa = MPZ(abs(numerator))  # odd, so this is mpmath's normal form
        return MP.make_mpf((int(numerator < 0), mantissa, 1 - denominator.bit_length(), mantissa.bit_length()))

    def constant(self, number: sp.Expr) -> Any:
        if number.is_Rational:
            return MP.mpf(int(number.p)) / int(number.q)
        if number is sp.nan:
            return _NAN
        if number.is_infinite:
            return _INF if number > 0 else -_INF
        return MP.mpf(sp.N(number, PRECISION_DIGITS + 10)._mpf_)

    def add(self, payload: Any, values: Sequence[Any]) -> Any:
        return values[0] + values[1] if len(values) == 2 else MP.fsum(values)

    def multiply(self, payload: Any, values: Sequence[Any]) -> Any:
        return math.prod(values[1:], start=values[0])

    def power(self, payload: sp.Rational | None, values: Sequence[Any]) -> Any:
        base, exponent = values
        if payload == -1:
            return MP.one / base if base != 0 else _INF
        if payload == 2:
            return base * base
        if payload == sp.S.Half:
            return MP.sqrt(base) if base >= 0 else _NAN
        return _NAN if MP.isnan(base) or MP.isnan(exponent) else _power(base, exponent)

    def function(self, payload: str, values: Sequence[Any]) -> Any:
        for value in values:
            if MP.isnan(value):
                return _NAN
        try:
            return _real(_EXACT_FUNCTIONS[payload](*values))
        except _FAILURES:
            return _NAN

    def choose(self, payload: Any, values: Sequence[Any]) -> Any:
        for place in range(0, len(values) - 1, 2):
            if values[place + 1]:
                return values[place]
        return values[-1]

    def compare(self, payload: str, values: Sequence[Any]) -> Any:
        return RELATIONS[payload](values[0], values[1])

    def logic(self, payload: str, values: Sequence[Any]) -> Any:
        return all(values) if payload == "And" else any(values) if payload == "Or" else not values[0]


EXACT = ExactArithmetic()


def to_wide(value: Any) -> np.longdouble:
    """The nearest wide float to an exact number.

    >>> bool(to_wide(MP.mpf(1) / 3) == np.longdouble(1) / 3) or WIDE_UNIT > 1e-17
    True
    """
    high = float(value)
    return np.longdouble(high) + np.longdouble(float(value - high)) if np.isfinite(high) else np.longdouble(high)


def from_wide(value: Any) -> Any:
    """A wide float as an exact number, without rounding."""
    high = float(value)
    return EXACT.number(high) + EXACT.number(float(value - np.longdouble(high))) if np.isfinite(high) else MP.mpf(high)


def _elementwise(name: str) -> Callable[..., Any]:
    exact = _EXACT_FUNCTIONS[name]

    def one(*values: Any) -> np.longdouble:
        require_time(work=0)
        if any(np.isnan(value) for value in values):
            return np.longdouble(np.nan)
        try:
            return to_wide(_real(exact(*map(from_wide, values))))
        except _FAILURES:
            return np.longdouble(np.nan)

    return np.vectorize(one, otypes=[np.longdouble])


_WIDE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _elementwise(name) for name in _EXACT_FUNCTIONS},
    **{name: getattr(np, name) for name in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "sign")},
    **{name: getattr(np, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(np, "arc" + name[1:]) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh", "atan2")},
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Trunc": np.trunc,
    "erf": erf_wide,
    "erfc": erfc_wide,
}


class WideArithmetic:
    """numpy longdouble arrays of one shape or broadcastable ones; run it under `np.errstate(all="ignore")`."""

    def constant(self, number: sp.Expr) -> Any:
        return to_wide(EXACT.constant(number))

    def add(self, payload: Any, values: Sequence[Any]) -> Any:
        return sum(values[1:], start=values[0])

    def multiply(self, payload: Any, values: Sequence[Any]) -> Any:
        return math.prod(values[1:], start=values[0])

    def power(self, payload: sp.Rational | None, values: Sequence[Any]) -> Any:
        base, exponent = values
        if payload == -1:
            return 1 / np.where(base == 0, np.longdouble(0), base)
        if payload == 2:
            return base * base
        if payload == sp.S.Half:
            return np.sqrt(base)
        return np.power(base, exponent)

    def function(self, payload: str, values: Sequence[Any]) -> Any:
        return _WIDE_FUNCTIONS[payload](*values)

    def choose(self, payload: Any, values: Sequence[Any]) -> Any:
        chosen = values[-1]
        for place in range(len(values) - 3, -1, -2):
            chosen = np.where(values[place + 1], values[place], chosen)
        return chosen

    def compare(self, payload: str, values: Sequence[Any]) -> Any:
        return RELATIONS[payload](values[0], values[1])

    def logic(self, payload: str, values: Sequence[Any]) -> Any:
        if payload == "Not":
            return np.logical_not(values[0])
        combine = np.logical_and if payload == "And" else np.logical_or
        result = values[0]
        for value in values[1:]:
            result = combine(result, value)
        return result


WIDE = WideArithmetic()
