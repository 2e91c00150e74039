"""Rules of scattered sums: index_put, index_add, scatter_add, and the backward of an embedding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.registry import NoRule, symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, NumberTensor, SymbolicTensor, constant

aten = torch.ops.aten


def integers(tensor: SymbolicTensor) -> NDArray[Any]:
    """The elements of an index (integers) or a mask (truth values) as they were recorded."""
    if not isinstance(tensor, NumberTensor):
        raise NoRule("an index that depends on the inputs")
    return tensor.array


def scattered(
    base: SymbolicTensor,
    values: SymbolicTensor,
    targets: NDArray[Any],
    *,
    accumulate: bool,
    factor: float = 1,
) -> SymbolicTensor:
    """`base` with `values` put at, or added at, the places that `targets` (flat, one per value) names."""
    arriving: dict[int, list[Index]] = defaultdict(list)
    for index, target in zip(np.ndindex(*targets.shape), targets.reshape(-1).tolist(), strict=True):
        arriving[target].append(index)
    strides = np.array(np.cumprod([1, *base.shape[:0:-1]])[::-1], dtype=np.int64)

    def pull(index: Index) -> Scalar:
        flat = int(np.dot(index, strides)) if index else 0
        sources = arriving.get(flat, [])
        if not sources:
            return base[index]
        if not accumulate:
            return values[sources[-1]]
        terms = [values[source] for source in sources]
        scaled = terms if factor == 1 else [sc.dot([term], [sc.number(factor)]) for term in terms]
        return sc.total([base[index], *scaled])

    return SymbolicTensor(base.shape, pull)


def _along(shape: Sequence[int], dim: int, index: NDArray[Any]) -> NDArray[Any]:
    """The flat places of a tensor of `shape` that `index` (over all dims, replacing `dim`) names."""
    places: list[NDArray[Any]] = list(np.indices(index.shape))
    places[dim] = index
    return np.asarray(np.ravel_multi_index(tuple(places), tuple(shape)))


@symbolic_rule(aten.index_put.default)
def index_put(
    self: SymbolicTensor, indices: Sequence[SymbolicTensor | None], values: SymbolicTensor, accumulate: bool = False
) -> SymbolicTensor:
    codes = torch.arange(self.numel).view(self.shape)
    picked = [None if item is None else torch.from_numpy(integers(item)) for item in indices]
    targets = torch.ops.aten.index.Tensor(codes, picked).numpy()
    return scattered(self, values.broadcast_to(targets.shape), targets, accumulate=accumulate)


@symbolic_rule(aten.scatter_add.default)
def scatter_add(self: SymbolicTensor, dim: int, index: SymbolicTensor, src: SymbolicTensor) -> SymbolicTensor:
    if self.ndim == 0:
        return self + src
    targets = _along(self.shape, dim % self.ndim, integers(index))
    return scattered(self, src, targets, accumulate=True)


@symbolic_rule(aten.index_add.default)
def index_add(
    self: SymbolicTensor, dim: int, index: SymbolicTensor, source: SymbolicTensor, *, alpha: float = 1
) -> SymbolicTensor:
    if not self.ndim:
        raise NoRule("index_add on a tensor without dimensions")
    axis = dim % self.ndim
    whole = np.broadcast_to(
        integers(index).reshape([-1 if place == axis else 1 for place in range(self.ndim)]), source.shape
    )
    return scattered(self, source, _along(self.shape, axis, whole), accumulate=True, factor=alpha)


@symbolic_rule(aten.embedding_dense_backward.default)
def embedding_dense_backward(
    grad_output: SymbolicTensor,
    indices: SymbolicTensor,
    num_weights: int,
    padding_idx: int,
    scale_grad_by_freq: bool,
) -> SymbolicTensor:
    """Each row of the weight gets the sum of the cotangents of where it was looked up."""
    rows = integers(indices)
    width = grad_output.shape[-1]
    targets = rows[..., None] * width + np.arange(width)
    targets = np.where(rows[..., None] == padding_idx, -1, targets)
    return scattered(constant(0, (num_weights, width)), grad_output, targets, accumulate=True)
