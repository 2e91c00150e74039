"""Tensors as arrays of numbers, and how far two of them are apart: in units in the last place, within bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.standin import StandIn

Index = tuple[int, ...]
_LOOKED_AT = 32
_BY_ERROR_ALONE = 1 / 8
"""The power of an error in units of its bound that stands for what it tells beside a true number of no size."""


def ulp(value: float, dtype: torch.dtype) -> float:
    """The spacing of the numbers of `dtype` at `value`.

    >>> ulp(1.0, torch.float64) == 2.0**-52, ulp(-3.0, torch.float32) == 2.0**-22
    (True, True)
    """
    kind = torch.finfo(dtype)
    if value == 0 or not math.isfinite(value):
        return kind.tiny * kind.eps
    return max(math.ldexp(kind.eps, math.frexp(value)[1] - 1), kind.tiny * kind.eps)


def appended(column: Index) -> Callable[[Index], Index]:
    """A place in one column of an array of more dimensions -> its place in the array."""
    return lambda index: (*index, *column)


def as_array(tensor: Tensor) -> NDArray[np.float64]:
    """The tensor's numbers as float64, exactly; float64 holds those of every narrower type.

    A complex tensor gets a last dimension of two: real and imaginary parts.
    """
    dense = tensor.detach()
    if dense.layout is not torch.strided:
        dense = dense.to_dense()
    if dense.is_complex():
        dense = torch.view_as_real(dense.resolve_conj())
    array: NDArray[np.float64] = dense.to(device="cpu", dtype=torch.float64).numpy(force=True)
    return array


def widened(tensor: Tensor) -> Tensor:
    """The tensor in float64 or complex128; integers and masks as they are."""
    tensor = tensor.detach()
    if tensor.dtype.is_complex:
        return tensor.to(torch.complex128)
    return tensor.to(torch.float64) if tensor.dtype.is_floating_point else tensor


def length_of(numbers: NDArray[np.float64]) -> float:
    """The length of numbers as one vector, also where their squares would overflow.

    >>> round(length_of(np.array([3e200, -4e200])) / 1e200, 12)
    5.0
    """
    largest = float(np.abs(numbers).max(initial=0.0))
    return largest * float(np.linalg.norm(numbers / largest)) if 0 < largest < math.inf else largest


def moduli(numbers: NDArray[np.float64], dtype: torch.dtype) -> NDArray[np.float64] | None:
    """For each part of complex numbers the modulus of its number; None for numbers of a real dtype."""
    if not dtype.is_complex:
        return None
    with np.errstate(all="ignore"):
        return np.broadcast_to(np.hypot(numbers[..., :1], numbers[..., 1:]), numbers.shape)


def nan_place(tensors: Iterable[Tensor]) -> Index | None:
    """Where the first of the tensors that holds NaN does so first; None where none does.

    >>> nan_place([torch.ones(2), torch.tensor([[0.0, math.nan]])])
    (0, 1)
    """
    for tensor in tensors:
        if _has_elements(tensor):
            found = tensor.detach().isnan()
            if found.any():
                return tuple(int(item) for item in found.nonzero()[0])
    return None


def not_finite_place(tensors: Sequence[Tensor]) -> tuple[str, Index] | None:
    """What the tensors hold first that is no number, NaN or else infinity, and where; None where they hold neither.

    >>> not_finite_place([torch.tensor([1.0, math.inf])]), not_finite_place([torch.ones(2)])
    (('infinity', (1,)), None)
    """
    if (place := nan_place(tensors)) is not None:
        return "NaN", place
    place = nan_place([tensor * 0 for tensor in tensors if _has_elements(tensor)])
    return None if place is None else ("infinity", place)


def is_nan_at(value: Tensor | None, index: Index | None) -> bool:
    """Whether the element of a value is NaN that an index of its own, or of a row of its Jacobian, leads to."""
    place = (index or ())[: 0 if value is None else value.ndim]
    if value is None or not _has_elements(value) or len(place) < value.ndim:
        return False
    inside = all(at < size for at, size in zip(place, value.shape, strict=True))  # that of a VJP lies in the argument
    return inside and bool(value.detach()[place].isnan())


def is_good(got: NDArray[np.float64], true: NDArray[np.longdouble], bound: NDArray[np.float64]) -> bool:
    """Whether all numbers are finite and within the bound of the true ones."""
    return bool(np.isfinite(got).all() and np.isfinite(bound).all() and apart(got, true, bound)[1].all())


def apart(
    got: NDArray[np.float64], true: NDArray[np.longdouble], bound: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How far apart they are, and whether that is within the bound; what is infinitely far apart never is."""
    with np.errstate(all="ignore"):
        error = np.abs(true - got).astype(np.float64)
        return error, np.asarray((error <= bound) & (error < np.inf))


def largest_error(
    error: NDArray[np.float64],
    got: NDArray[np.float64],
    true: NDArray[np.longdouble],
    good: NDArray[np.bool_],
    dtype: torch.dtype,
    modulus: NDArray[np.float64] | None = None,
) -> tuple[float, float, Any]:
    """The largest error of a good element in ULP of `dtype`, the size of the number and its place."""
    with np.errstate(over="ignore"):  # wide numbers reach further
        sizes = np.maximum(np.abs(true).astype(np.float64), np.abs(got))
    size = np.where(good, sizes if modulus is None else np.maximum(sizes, modulus), 1.0)
    kind = torch.finfo(dtype)
    spacing = np.maximum(np.ldexp(kind.eps, np.frexp(size)[1] - 1), kind.tiny * kind.eps)
    errors = np.where(good, error / spacing, -1.0)
    largest = np.where(errors == errors.max(), size, -1.0)  # of equal errors, that of the largest number tells most
    worst = np.unravel_index(int(largest.argmax()), errors.shape)
    return float(errors[worst]), float(size[worst]), worst


def worst_first(
    error: NDArray[np.float64], true: NDArray[np.longdouble], bound: NDArray[np.float64], good: NDArray[np.bool_]
) -> list[Any]:
    """Places of elements that are not good: those that tell most of what is wrong, then some without a finite error."""
    bad = np.flatnonzero(~good)
    with np.errstate(all="ignore"):
        size = np.abs(true.reshape(-1)[bad]).astype(np.float64)
        found = telling_of(error.reshape(-1)[bad], size, np.broadcast_to(bound, good.shape).reshape(-1)[bad])
    strange = bad[~np.isfinite(found)][:_LOOKED_AT]
    worst = bad[np.argsort(-np.where(np.isfinite(found), found, -1.0), kind="stable")[:_LOOKED_AT]]
    return [np.unravel_index(flat, good.shape) for flat in dict.fromkeys([*worst.tolist(), *strange.tolist()])]


def telling_of(
    error: NDArray[np.float64] | np.float64, size: NDArray[np.float64] | np.float64, bound: NDArray[np.float64] | np.float64
) -> NDArray[np.float64]:
    """How much a wrong number tells of what is wrong: one whose error and whose true size are both far above its bound.

    The ratio of a wrong number to a true one that is what rounding leaves, as of terms that cancel, says nothing. Where all
    are so, the error alone tells, and it tells more than an error just above its bound.

    >>> error, size, bound = np.array([5.0, 1e-3, 4.0]), np.array([1e-6, 1.0, 8.0]), np.full(3, 1e-6)
    >>> telling_of(error, size, bound).argsort()[::-1]
    array([2, 1, 0])
    """
    with np.errstate(all="ignore"):
        least = np.maximum(bound, np.finfo(np.float64).tiny)
        excess = error / least
        return np.asarray(np.maximum(np.minimum(excess, size / least), excess**_BY_ERROR_ALONE))


def _has_elements(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and tensor.device.type != "meta" and not isinstance(tensor, StandIn)
