"""Indices of tensors: which dims are meant, and from the index into a result to that of what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradviz.symbolic.many import Places


def normalized_dims(dims: Sequence[int] | int | None, ndim: int) -> tuple[int, ...]:
    """The dims as sorted non-negative ints; None or an empty list means all, as in torch."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return tuple(range(ndim))
    if ndim == 0:
        return ()
    return tuple(sorted(dim % ndim for dim in ((dims,) if isinstance(dims, int) else dims)))


def broadcaster(shape: Sequence[int], ndim: int) -> Callable[[Any], Any]:
    """From an index (or arrays of indices) into a broadcast tensor of `ndim` dims to the index into one of `shape`."""
    skipped = ndim - len(shape)
    if all(size != 1 for size in shape):
        return (lambda index: index) if skipped == 0 else (lambda index: index[skipped:])
    keep = tuple(0 if size == 1 else 1 for size in shape)
    return lambda index: tuple(place * kept for place, kept in zip(index[skipped:], keep, strict=True))


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """How many elements further the next along each dim lies, in row-major order."""
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return tuple(reversed(strides)) if shape else ()


def line(before: Sequence[Any], along: NDArray[np.int64], *after: Any) -> Places:
    """The places of the elements along one dim."""
    return tuple(np.broadcast_to(np.asarray(place), along.shape) for place in (*before, along, *after))


def places_of(flats: NDArray[np.int64], shape: Sequence[int]) -> Places:
    """The places of the elements with these flat indices."""
    return tuple(np.unravel_index(flats, tuple(shape))) if shape else ()


def per_dim(option: Sequence[int], spatial: int) -> list[int]:
    """An option of a convolution or a pooling for each spatial dim; one number is that of all.

    >>> per_dim([2], 3), per_dim([1, 2], 2)
    ([2, 2, 2], [1, 2])
    """
    return list(option) * spatial if len(option) == 1 else list(option)
