"""Indices of tensors: which dims are meant, and from the index into a result to that of what it is made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
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


class Lines:
    """Which elements of a tensor a reduction joins: all along some dims, for each place in the others.

    Attributes:
        shape: of the result.
        length: how many elements are joined to one.

    >>> lines = Lines((2, 3), [1], keepdim=False)
    >>> lines.shape, lines.length, list(lines.of_one((1,)))
    ((2,), 3, [(1, 0), (1, 1), (1, 2)])
    """

    def __init__(self, shape: Sequence[int], dims: Sequence[int] | int | None, *, keepdim: bool) -> None:
        ndim = len(shape)
        self._reduced = normalized_dims(dims, ndim)
        self._sizes = [shape[dim] for dim in self._reduced]
        kept = [dim for dim in range(ndim) if dim not in self._reduced]
        self._source = {dim: dim if keepdim else place for place, dim in enumerate(kept)}  # of a kept dim: in the result
        self.length = math.prod(self._sizes)
        self.shape = tuple(
            1 if dim in self._reduced else shape[dim] for dim in range(ndim) if keepdim or dim not in self._reduced
        )

    def of_one(self, index: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """The indices of what is joined to one element of the result, in row-major order."""
        full = [0] * (len(self._reduced) + len(self._source))
        for dim, place in self._source.items():
            full[dim] = index[place]
        for inner in itertools.product(*map(range, self._sizes)):
            for dim, along in zip(self._reduced, inner, strict=True):
                full[dim] = along
            yield tuple(full)

    def of_many(self, index: Places, count: int) -> Places:
        """The places of what is joined to so many elements, one line after the other."""
        inside = np.indices(self._sizes).reshape(len(self._sizes), self.length)
        full = {dim: np.repeat(index[place], self.length) for dim, place in self._source.items()}
        full |= {dim: np.tile(along, count) for dim, along in zip(self._reduced, inside, strict=True)}
        return tuple(full[dim] for dim in range(len(full)))
