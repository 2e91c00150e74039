"""erf and erfc on numpy longdouble arrays, which numpy does not have: a series below 3, a continued fraction above."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Wide = NDArray[Any]  # of longdouble; numpy's own types cannot follow it through mixed arithmetic
_SERIES_UP_TO = 3.0
_SERIES_TERMS = 90
_FRACTION_TERMS = 60
_SQRT_PI = np.sqrt(np.arctan(np.longdouble(1)) * 4)


def erf_wide(x: Any) -> Any:
    """The error function, to a few units of longdouble.

    >>> abs(float(erf_wide(np.longdouble(0.5))) - 0.5204998778130465) < 1e-16
    True
    """
    array: Wide = np.asarray(x, dtype=np.longdouble)
    size = np.abs(array)
    inner = np.where(size < _SERIES_UP_TO, array, 0)
    series: Wide = _erf_series(inner)
    outer = np.where(size < _SERIES_UP_TO, np.longdouble(_SERIES_UP_TO), size)
    return np.where(size < _SERIES_UP_TO, series, np.sign(array) * (1 - _erfc_fraction(outer)))


def erfc_wide(x: Any) -> Any:
    """1 - erf(x), without cancellation for large x."""
    array = np.asarray(x, dtype=np.longdouble)
    outer = np.where(array < 1, np.longdouble(_SERIES_UP_TO), array)
    large = np.where(array < _SERIES_UP_TO, _erfc_middle(array), _erfc_fraction(outer))
    return np.where(array < 1, 1 - erf_wide(array), large)


def _erf_series(x: Wide) -> Any:
    """erf(x) = 2/sqrt(pi) exp(-x²) sum 2^n x^(2n+1) / (2n+1)!!, all terms of one sign (DLMF 7.6.2)."""
    square = x * x
    term = x.copy()
    total = x.copy()
    for n in range(1, _SERIES_TERMS):
        term = term * square * 2 / (2 * n + 1)
        total = total + term
    return 2 / _SQRT_PI * np.exp(-square) * total


def _erfc_fraction(x: Wide) -> Any:
    """erfc(x) = exp(-x²)/sqrt(pi) / (x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))) for x >= 2 (DLMF 7.9.1)."""
    tail = x.copy()
    for n in range(_FRACTION_TERMS, 0, -1):
        tail = x + np.longdouble(n) / 2 / tail
    return np.exp(-x * x) / _SQRT_PI / tail


def _erfc_middle(x: Wide) -> Any:
    """erfc between 1 and 3, where both others lose digits: the fraction with many more terms."""
    inside = np.clip(x, 1, _SERIES_UP_TO)
    tail = inside.copy()
    for n in range(8 * _FRACTION_TERMS, 0, -1):
        tail = inside + np.longdouble(n) / 2 / tail
    return np.exp(-inside * inside) / _SQRT_PI / tail
