"""Sums and products of small matrices with all their derivatives, as arrays of whole numbers of 2**-512.

Element by element, a power of a matrix of 5 rows takes seconds; and Python multiplies whole numbers ten times as fast as
mpmath does its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.rounding import all_rounded, spread

Floats = NDArray[np.float64]
_BITS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A matrix that depends on some inputs.

    Attributes:
        value: its elements, in units of 2**-512.
        error: their rounding errors in units of u.
        partials: a matrix per input, the derivatives, in the same units.
        partial_errors: the errors of these.
    """

    value: NDArray[Any]
    error: Floats
    partials: NDArray[Any]
    partial_errors: Floats

    @property
    def size(self) -> Floats:
        """How large the elements are."""
        return _size(self.value)

    def __add__(self, other: Numbers) -> Numbers:
        value, partials = self.value + other.value, self.partials + other.partials
        return Numbers(
            value=value,
            error=self.error + other.error + _cost(value),
            partials=partials,
            partial_errors=self.partial_errors + other.partial_errors + _cost(partials),
        )

    def __matmul__(self, other: Numbers) -> Numbers:
        """By the product rule. A sum of n products costs what `rounding.spread` says, beside a rounding of each."""
        cost = 1 + spread(self.value.shape[1])
        left, right = _size(self.value), _size(other.value)
        moved, other_moved = _size(self.partials), _size(other.partials)
        return Numbers(
            value=(self.value @ other.value) >> _BITS,
            error=left @ other.error + self.error @ right + cost * all_rounded(left @ right),
            partials=(self.partials @ other.value + self.value @ other.partials) >> _BITS,
            partial_errors=self.partial_errors @ right
            + moved @ other.error
            + self.error @ other_moved
            + left @ other.partial_errors
            + (cost + 1) * all_rounded(moved @ right + left @ other_moved),
        )

    def divided_by(self, number: int) -> Numbers:
        value, partials = self.value // number, self.partials // number
        return Numbers(
            value=value,
            error=self.error / number + _cost(value),
            partials=partials,
            partial_errors=self.partial_errors / number + _cost(partials),
        )


def identity_like(one: Numbers) -> Numbers:
    """The identity matrix of the same size, which depends on nothing."""
    value = np.full(one.value.shape, 0, dtype=object)
    np.fill_diagonal(value, 1 << _BITS)
    return Numbers(
        value=value,
        error=np.zeros(value.shape),
        partials=np.full(one.partials.shape, 0, dtype=object),
        partial_errors=np.zeros(one.partials.shape),
    )


def entered(numbers: NDArray[Any]) -> NDArray[Any]:
    """Finite mpmath numbers in these units."""
    flat = [int(MP.ldexp(number, _BITS)) for number in numbers.flat]
    return np.array(flat, dtype=object).reshape(numbers.shape)


def left(numbers: NDArray[Any]) -> NDArray[Any]:
    """What is in these units as mpmath numbers."""
    flat = [MP.ldexp(MP.mpf(number), -_BITS) for number in numbers.flat]
    return np.array(flat, dtype=object).reshape(numbers.shape)


def _cost(numbers: NDArray[Any]) -> Floats:
    """What rounding each of these costs, in units of u."""
    return np.asarray(all_rounded(_size(numbers), numbers == 0), dtype=np.float64)


def _size(numbers: NDArray[Any]) -> Floats:
    half = _BITS // 2  # in steps, since the whole numbers may be beyond what float64 reaches
    return np.abs((numbers >> half).astype(np.float64)) * 2.0 ** (half - _BITS)
