"""Exact numbers that carry their rounding error: `rounding.py`'s analysis for single elements, beside their 50 digits.

A number is a pair (exact value, error in units of u). It says the same as `EXACT` and `ROUNDING` run one after the other,
without numpy's cost per operation on single numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from gradviz.symbolic.arithmetic import EXACT, MP
from gradviz.symbolic.rounding import (
    EXACT_IN_ANY_DTYPE,
    LIBRARY_ROUNDING,
    SAFETY,
    SERIES_ROUNDING,
    SLOPES,
    SUMMED_SERIES,
    WAVES,
    exactly_held,
    library_error,
    moved_power,
    moved_product,
    moved_wave,
    rounded,
    unit_in_use,
)

TrackedNumber = tuple[Any, float]


class TrackedArithmetic:
    """Pairs (exact value, error in units of u); run it under `np.errstate(all="ignore")`."""

    def constant(self, number: sp.Expr) -> TrackedNumber:
        value = EXACT.constant(number)
        return value, 0.0 if exactly_held(float(value)) else rounded(value)

    def add(self, payload: Any, values: Sequence[TrackedNumber]) -> TrackedNumber:
        total, error = values[0]
        for value, more in values[1:]:
            total = total + value
            error += more + rounded(total)
        return _finite(total, error)

    def multiply(self, payload: Any, values: Sequence[TrackedNumber]) -> TrackedNumber:
        product, error = values[0]
        for value, more in values[1:]:
            unbounded = math.inf in (error, more)
            if error or more:
                error = moved_product(abs(float(product)), error, abs(float(value)), more)
            product = product * value
            if unbounded and product and error != error:  # of a number that may be anything, exactly 0 times its error
                error = math.inf
            error += rounded(product)
        return _finite(product, error)

    def power(self, payload: sp.Rational | None, values: Sequence[TrackedNumber]) -> TrackedNumber:
        (base, base_error), (exponent, exponent_error) = values
        result = EXACT.power(payload, (base, exponent))
        size = abs(float(result))
        error = rounded(result) * (1.0 if payload in (-1, 2, sp.S.Half) else LIBRARY_ROUNDING)
        if base_error:
            error += float(moved_power(float(base), base_error, float(exponent), abs(float(result))))
        if exponent_error and size and payload is None:
            error += size * abs(float(MP.log(abs(base)))) * exponent_error
        return _finite(result, error)

    def function(self, payload: str, values: Sequence[TrackedNumber]) -> TrackedNumber:
        result = EXACT.function(payload, [value for value, _ in values])
        if payload in EXACT_IN_ANY_DTYPE:
            value, error = values[0]
            return result, error if payload == "Abs" else _jump(payload, value, error)
        y = float(result)
        error = float(library_error(payload, float(values[0][0]), rounded(result)))
        if payload in SUMMED_SERIES:
            error = SERIES_ROUNDING * max(abs(y), 1.0)
        if not any(moved for _, moved in values):
            return _finite(result, error)
        slope = SLOPES.get(payload)
        if slope is not None:
            steep, moved = abs(float(slope(np.float64(float(values[0][0])), np.float64(y)))), values[0][1]
            error += float(moved_wave(steep, moved)) if payload in WAVES else steep * moved
        elif payload == "atan2":
            (down, down_error), (across, across_error) = ((float(value), moved) for value, moved in values)
            square = down * down + across * across
            error += (abs(across) * down_error + abs(down) * across_error) / square if square else math.inf
        else:
            error += sum(abs(y / float(value)) * moved for value, moved in values if moved and value != 0)
        return _finite(result, error)

    def choose(self, payload: Any, values: Sequence[Any]) -> TrackedNumber:
        chosen: TrackedNumber = EXACT.choose(payload, values)
        return chosen

    def compare(self, payload: str, values: Sequence[TrackedNumber]) -> Any:
        return EXACT.compare(payload, (values[0][0], values[1][0]))

    def logic(self, payload: str, values: Sequence[Any]) -> Any:
        return EXACT.logic(payload, values)


def _jump(payload: str, value: Any, error: float) -> float:
    """How far a step function jumps within the rounding that its argument carries."""
    unit = unit_in_use()
    reach = SAFETY * unit * error
    if not 0 < reach < math.inf:
        return 0.0
    below, above = (float(EXACT.function(payload, [value + side])) for side in (-reach, reach))
    return abs(above - below) / unit if above != below else 0.0


def _finite(value: Any, error: float) -> TrackedNumber:
    """Infinite values carry no error, and 0 times infinity adds none."""
    if error != error or error == math.inf:
        size = float(value)
        return value, 0.0 if math.isinf(size) or (error != error and size == size) else error
    return value, error


TRACKED = TrackedArithmetic()
