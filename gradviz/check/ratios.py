"""The ratio of wrong numbers and true ones, where it is one and the same everywhere."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

TELLING = 16
"""A number of at least so many times its bound on rounding is large enough for a ratio to mean something."""
_SAME_RATIO = 1e-6
_SAME_AT_MOST = 0.1
_WELL_KNOWN = 1e-3
_MULTIPLES = {0.5: "half of", 2.0: "twice", 1 / 3: "a third of", 3.0: "three times", -1.0: "minus"}


class Ratios:
    """Whether torch's numbers are one and the same multiple of the true ones wherever they were compared."""

    def __init__(self) -> None:
        self._low, self._high, self._noise = math.inf, -math.inf, 0.0
        self._varies = False

    def see_good(self, true: NDArray[np.longdouble], bound: NDArray[np.float64], good: NDArray[np.bool_]) -> None:
        """Numbers that agree, unless both are 0, show that others are not all a multiple."""
        if not self._varies:
            self._varies = bool((good & (np.abs(true) > TELLING * bound)).any())

    def see_one_good(self, true: float, bound: float) -> None:
        """As `see_good`, of one number."""
        self._varies |= abs(true) > TELLING * bound

    def see(self, got: NDArray[np.float64], true: NDArray[np.float64], bound: NDArray[np.float64]) -> None:
        """Numbers of which some do not agree."""
        with np.errstate(all="ignore"):
            telling = np.abs(true) > TELLING * bound
            ratios, noise = got / true, bound / np.abs(true)
            strays = bool((~telling & ~(np.abs(got - true) <= bound)).any())
        self._varies |= strays or not np.isfinite(got).all()
        if telling.any():
            self._low, self._high = min(self._low, ratios[telling].min()), max(self._high, ratios[telling].max())
            self._noise = max(self._noise, float(noise[telling].max()))

    def told(self) -> str:
        """`autograd's is half of the true derivative: 0.5 everywhere`; "" where it varies, or is too close to 1."""
        if not (math.isfinite(self._low) and math.isfinite(self._high)):
            return ""
        ratio, spread = (self._low + self._high) / 2, self._high - self._low
        within = min(4 * (self._noise + _SAME_RATIO), _SAME_AT_MOST)
        if self._varies or spread > within * max(1.0, abs(ratio)):
            return ""
        if abs(ratio) < _SAME_RATIO:
            return "autograd's is 0 everywhere"
        for number, words in _MULTIPLES.items():
            if math.isclose(ratio, number, rel_tol=max(1e-4, within / 4), abs_tol=1e-9):
                return f"autograd's is {words} the true derivative: {number:.4g} everywhere"
        shown = f"{ratio:.6g}" if within < _WELL_KNOWN else f"{ratio:.2g}"
        return "" if shown == "1" else f"autograd's is {shown} times the true derivative everywhere"
