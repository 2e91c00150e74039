"""Matrices within a batch: slices of symbolic tensors, and tensors put together from what was made for each slice."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arrays import exact_array
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor


def part(x: SymbolicTensor, outer: Index, ndim: int = 2) -> SymbolicTensor:
    """The slice of `ndim` dims at `outer`, an index into the batch or into one that it is broadcast to.

    >>> import torch
    >>> from gradviz.symbolic.entered import numbers
    >>> part(numbers(torch.arange(6.0).reshape(1, 2, 3)), (7, 1), 1)[(2,)].approximate
    5.0
    """
    batch = x.shape[: x.ndim - ndim]
    used = outer[len(outer) - len(batch) :]
    here = tuple(0 if size == 1 else place for size, place in zip(batch, used, strict=True))
    return x.reindexed(x.shape[x.ndim - ndim :], lambda index: (*here, *index))


def numbers_of(tensor: Tensor, outer: Index) -> NDArray[Any]:
    """The recorded slice at `outer`, as float64 or complex128."""
    return np.asarray(exact_array(tensor)[outer], dtype=np.complex128 if tensor.is_complex() else np.float64)


def batched(
    batch: Sequence[int], shapes: Sequence[Index], make: Callable[[Index], Sequence[SymbolicTensor]]
) -> tuple[SymbolicTensor, ...]:
    """Tensors of shape (*batch, *shape) whose slices `make(outer)` gives, each made on first use."""
    made: dict[Index, Sequence[SymbolicTensor]] = {}

    def slices(outer: Index) -> Sequence[SymbolicTensor]:
        if outer not in made:
            made[outer] = make(outer)
        return made[outer]

    def tensor(place: int, shape: Index) -> SymbolicTensor:
        count = len(batch)
        return SymbolicTensor((*batch, *shape), lambda index: slices(index[:count])[place][index[count:]])

    return tuple(tensor(place, tuple(shape)) for place, shape in enumerate(shapes))


def transposed(x: SymbolicTensor) -> SymbolicTensor:
    """With the last two dims exchanged."""
    return x.transpose(-2, -1)


def conjugate_transposed(x: SymbolicTensor) -> SymbolicTensor:
    """The conjugates, with the last two dims exchanged."""
    turned = transposed(x)
    return SymbolicTensor(turned.shape, lambda at: sc.conjugate(turned[at]))


def where(x: SymbolicTensor, keep: Callable[[int, int], bool], other: Callable[[int, int], Scalar]) -> SymbolicTensor:
    """The matrices with another element where `keep(row, column)` is false."""
    return SymbolicTensor(x.shape, lambda at: x[at] if keep(at[-2], at[-1]) else other(at[-2], at[-1]))


def triangle(x: SymbolicTensor, *, upper: bool, unit: bool = False) -> SymbolicTensor:
    """One triangle of the matrices, zeros in the other, and ones on the diagonal if `unit`."""
    return where(
        x,
        lambda row, column: (row < column if upper else row > column) or (row == column and not unit),
        lambda row, column: sc.ONE if row == column else sc.ZERO,
    )


def identity(rows: int, columns: int) -> SymbolicTensor:
    """Ones on the diagonal, zeros elsewhere."""
    return SymbolicTensor((rows, columns), lambda at: sc.ONE if at[0] == at[1] else sc.ZERO)


def vector(scalars: Sequence[Scalar]) -> SymbolicTensor:
    """The elements in one dim."""
    return SymbolicTensor((len(scalars),), lambda index: scalars[index[0]])


def split(scalars: Sequence[Scalar], shapes: Sequence[Index]) -> list[SymbolicTensor]:
    """Tensors of these shapes from what `elements` gives of one after the other."""
    ends = list(itertools.accumulate(map(math.prod, shapes)))
    return [vector(scalars[end - math.prod(shape) : end]).reshape(shape) for end, shape in zip(ends, shapes, strict=True)]


def elements(*tensors: SymbolicTensor) -> list[Scalar]:
    """All elements of all tensors, in row-major order."""
    return [x[index] for x in tensors for index in x.indices()]
