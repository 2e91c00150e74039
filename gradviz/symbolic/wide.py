"""erf and erfc on numpy longdouble arrays, which numpy does not have.

erf by the Taylor series about the nearest of a table of points; erfc by erf below 1, by a continued fraction
above.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

Wide = NDArray[Any]  # of longdouble; numpy's own types cannot follow it through mixed arithmetic
_PER_UNIT = 32
_TERMS = 13
_ONE_FROM = 8
"""From here on erf is 1 in every float type."""
_BLOCK = 2**14
_FRACTION_FROM = 3.0
_FRACTION_TERMS = 60
_SQRT_PI = np.sqrt(np.arctan(np.longdouble(1)) * 4)


def erf_wide(x: Any) -> Any:
    """The error function, to a few units of longdouble.

    >>> abs(float(erf_wide(np.longdouble(0.5))) - 0.5204998778130465) < 1e-16
    True
    """
    array: Wide = np.asarray(x, dtype=np.longdouble)
    flat = array.reshape(-1)
    found = np.empty_like(flat)
    table = _erf_table()
    for start in range(0, flat.size, _BLOCK):
        some = flat[start : start + _BLOCK]
        size = np.abs(some)
        nearest = np.rint(np.fmin(size, _ONE_FROM) * _PER_UNIT)
        step = np.minimum(size, _ONE_FROM) - nearest / _PER_UNIT
        terms = table[:, nearest.astype(np.int64)]
        total = terms[-1]
        for term in terms[-2::-1]:
            total = total * step + term
        found[start : start + _BLOCK] = np.copysign(total, some)
    return found.reshape(array.shape)


@cache
def _erf_table() -> Wide:
    """Taylor's coefficients of erf about 0, 1/32, 2/32, ...: by Hermite's polynomials (DLMF 7.10.1)."""
    context = mpmath.MPContext()
    context.dps = 50
    points = []
    for number in range(_ONE_FROM * _PER_UNIT + 1):
        x = context.mpf(number) / _PER_UNIT
        factor = 2 / context.sqrt(context.pi) * context.exp(-x * x)
        terms, last, hermite = [context.erf(x)], context.mpf(0), context.mpf(1)
        for n in range(1, _TERMS):
            terms.append(factor * hermite / context.factorial(n))
            last, hermite = hermite, -2 * x * hermite - 2 * (n - 1) * last
        points.append([np.longdouble(float(term)) + np.longdouble(float(term - float(term))) for term in terms])
    return np.array(points, dtype=np.longdouble).T.copy()


def erfc_wide(x: Any) -> Any:
    """1 - erf(x), without cancellation for large x."""
    array = np.asarray(x, dtype=np.longdouble)
    outer = np.where(array < 1, np.longdouble(_FRACTION_FROM), array)
    large = np.where(array < _FRACTION_FROM, _erfc_middle(array), _erfc_fraction(outer))
    return np.where(array < 1, 1 - erf_wide(array), large)


def _erfc_fraction(x: Wide) -> Any:
    """erfc(x) = exp(-x²)/sqrt(pi) / (x + (1/2)/(x + 1/(x + (3/2)/(x + ...)))) for x >= 2 (DLMF 7.9.1)."""
    tail = x.copy()
    for n in range(_FRACTION_TERMS, 0, -1):
        tail = x + np.longdouble(n) / 2 / tail
    return np.exp(-x * x) / _SQRT_PI / tail


def _erfc_middle(x: Wide) -> Any:
    """erfc between 1 and 3, where both others lose digits: the fraction with many more terms."""
    inside = np.clip(x, 1, _FRACTION_FROM)
    tail = inside.copy()
    for n in range(8 * _FRACTION_TERMS, 0, -1):
        tail = inside + np.longdouble(n) / 2 / tail
    return np.exp(-inside * inside) / _SQRT_PI / tail
