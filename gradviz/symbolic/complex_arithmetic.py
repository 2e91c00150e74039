"""Complex numbers to 50 digits that carry their rounding error: `tracked.py`'s analysis, by modulus.

A number is a pair (exact complex value, error in units of u): torch's own lies in a disc of that radius around it. Complex
products and quotients are accurate by modulus only, not part by part (Higham, "Accuracy and Stability of Numerical
Algorithms", section 3.6), so that a radius is what can be said. Functions take their principal values, as torch's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp

from gradviz.symbolic.arithmetic import EXACT, MP
from gradviz.symbolic.registry import NoRule
from gradviz.symbolic.rounding import SLOPES, rounded

ComplexNumber = tuple[Any, float]
_PRODUCT_ROUNDING = 3.0  # sqrt(5), rounded up
_LIBRARY_ROUNDING = 4.0
_HUGE = 2.0**70
_NAN = MP.mpc(MP.nan, MP.nan)
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    **{name: getattr(MP, name) for name in ("exp", "expm1", "log", "log10", "log1p", "sqrt")},
    **{name: getattr(MP, name) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: getattr(MP, name) for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")},
    "exp2": lambda z: MP.mpf(2) ** z,
    "log2": lambda z: MP.log(z) / MP.log(2),
}
_FAILURES = (ValueError, ZeroDivisionError, OverflowError)


class ComplexArithmetic:
    """Pairs (exact complex value, radius in units of u); run it under `np.errstate(all="ignore")`."""

    def constant(self, number: sp.Expr) -> ComplexNumber:
        real, imaginary = (EXACT.constant(part) for part in number.as_real_imag())
        value = MP.mpc(real, imaginary)
        return value, 0.0 if number.is_Integer else rounded(size_of(value))

    def add(self, payload: Any, values: Sequence[ComplexNumber]) -> ComplexNumber:
        total, error = values[0]
        for value, more in values[1:]:
            total = total + value
            error += more + rounded(size_of(total))
        return total, error

    def multiply(self, payload: Any, values: Sequence[ComplexNumber]) -> ComplexNumber:
        product, error = values[0]
        for value, more in values[1:]:
            error = error * size_of(value) + size_of(product) * more
            product = product * value
            error += _PRODUCT_ROUNDING * rounded(size_of(product))
        return product, error

    def power(self, payload: sp.Rational | None, values: Sequence[ComplexNumber]) -> ComplexNumber:
        (base, base_error), (exponent, exponent_error) = values
        result = _guarded(_power, base, exponent)
        size = size_of(result)
        error = _LIBRARY_ROUNDING * (1 + size_of(exponent)) * rounded(size)
        if base_error:
            error += size_of(exponent) * size / size_of(base) * base_error if base != 0 else np.inf
        if exponent_error and size and payload is None:
            error += size * size_of(_guarded(MP.log, base)) * exponent_error
        return result, error

    def function(self, payload: str, values: Sequence[ComplexNumber]) -> ComplexNumber:
        found = _FUNCTIONS.get(payload)
        if found is None:
            raise NoRule(f"{payload} of a complex number has no complex derivative")
        ((argument, argument_error),) = values
        result = _guarded(found, argument)
        error = _LIBRARY_ROUNDING * rounded(size_of(result))
        if argument_error:
            slope = SLOPES[payload](np.complex128(complex(argument)), np.complex128(complex(result)))
            error += float(np.abs(slope)) * argument_error if payload != "sqrt" else 0.0
        return result, error

    def choose(self, payload: Any, values: Sequence[Any]) -> ComplexNumber:
        chosen: ComplexNumber = EXACT.choose(payload, values)
        return chosen

    def compare(self, payload: str, values: Sequence[ComplexNumber]) -> Any:
        left, right = values[0][0], values[1][0]
        if payload in ("==", "!="):
            return (left == right) == (payload == "==")
        if left.imag != 0 or right.imag != 0:
            raise NoRule("complex numbers have no order")
        return EXACT.compare(payload, (left.real, right.real))

    def logic(self, payload: str, values: Sequence[Any]) -> Any:
        return EXACT.logic(payload, values)


def size_of(value: Any) -> float:
    """The modulus of an exact number."""
    return abs(complex(value))


def _power(base: Any, exponent: Any) -> Any:
    return MP.one if exponent == 0 else base**exponent


def _guarded(function: Callable[..., Any], *values: Any) -> Any:
    """The function, or nan where it is undefined or beyond every dtype's range."""
    if any(not MP.isfinite(value) or abs(value) > _HUGE for value in values):
        return _NAN
    try:
        return MP.mpc(function(*values))
    except _FAILURES:
        return _NAN


COMPLEX = ComplexArithmetic()
