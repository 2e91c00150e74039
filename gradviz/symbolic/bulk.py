"""Long sums, products and maxima of elements most of which are plain numbers: those in wide floats, all at once.

A row of a large Jacobian is looked at in some columns only; all other elements of the inputs are constants. Of 50,000 terms
of a softmax's sum a few hundred then carry symbols, and are computed to 50 digits one by one; the others need no more than
`numpy.longdouble` (see `many.py`), whose rounding is added to what the bound grants torch for a sum of that length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arithmetic import from_wide, to_wide
from gradviz.symbolic.many import WIDE_ROUNDING, Many, Places, multiplied
from gradviz.symbolic.scalar import Plain, Scalar

if TYPE_CHECKING:
    from gradviz.symbolic.tensor import SymbolicTensor

LONG = 256
"""Shorter sums are computed to 50 digits throughout."""


def gathered(tensor: SymbolicTensor, places: Places, count: int) -> Many:
    """The elements, each different one asked for by itself: of a mean that is broadcast there are few."""
    flat = np.ravel_multi_index(places, tensor.shape) if places else np.zeros(count, dtype=np.int64)
    different, which = np.unique(np.broadcast_to(flat, (count,)), return_inverse=True)
    elements = [tensor[tuple(int(place) for place in np.unravel_index(one, tensor.shape))] for one in different]
    return Many(
        value=np.array([to_wide(element.value) for element in elements], dtype=np.longdouble)[which],
        error=np.array([element.error for element in elements])[which],
        carrying=np.array([not element.is_number for element in elements])[which],
    )


def total(tensor: SymbolicTensor, places: Places) -> Scalar:
    """The sum of many elements."""
    many = _read(tensor, places)
    plain = ~many.carrying
    with np.errstate(all="ignore"):
        rest = _plain(many.value[plain], many.error[plain])
    return sc.total(_elements(tensor, places, many.carrying), beside=rest)


def dot(left: SymbolicTensor, in_left: Places, right: SymbolicTensor, in_right: Places) -> Scalar:
    """The sum of the products of many elements of two tensors."""
    if len(in_left[0]) <= LONG or left.many is None or right.many is None:
        everything = np.ones(len(in_left[0]), dtype=np.bool_)
        return sc.dot(_elements(left, in_left, everything), _elements(right, in_right, everything))
    first, second = _read(left, in_left), _read(right, in_right)
    carrying = first.carrying | second.carrying
    with np.errstate(all="ignore"):
        product, plain = multiplied(first, second), ~carrying
        rest = _plain(product.value[plain], product.error[plain])
    return sc.dot(_elements(left, in_left, carrying), _elements(right, in_right, carrying), beside=rest)


def largest(tensor: SymbolicTensor, places: Places, name: str, *, sign: int = 1) -> Scalar:
    """The largest of many elements, or the smallest for sign -1; as `scalar.largest`."""
    many = _read(tensor, places)
    value, missing = many.value, np.isnan(many.value)
    if missing.any():
        return sc.largest(_elements(tensor, places, missing | many.carrying), name, sign=sign)
    best = int((sign * value).argmax())
    with np.errstate(invalid="ignore"):
        near = np.abs(value - value[best]) <= sc.COARSEST * (many.error + many.error[best])
    return sc.largest(_elements(tensor, places, near | (value == value[best])), name, sign=sign)


def _read(tensor: SymbolicTensor, places: Places) -> Many:
    assert tensor.many is not None
    return tensor.many(places, len(places[0]))


def _plain(value: NDArray[np.longdouble], error: NDArray[np.float64]) -> Plain:
    size = float(np.abs(value).astype(np.float64).sum())
    return Plain(value=from_wide(value.sum()), error=float(error.sum()) + WIDE_ROUNDING * size, size=size, count=len(value))


def _elements(tensor: SymbolicTensor, places: Places, wanted: NDArray[np.bool_]) -> list[Scalar]:
    picked = np.flatnonzero(wanted)
    return [tensor[index] for index in zip(*(place[picked].tolist() for place in places), strict=True)]
