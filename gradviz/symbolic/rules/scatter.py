"""Rules of values joined at places that an index names: scattered and segmented sums, means, products and extremes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.entered import NumberTensor
from gradviz.symbolic.registry import NoRule, symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import QUOTIENT, Index, SymbolicTensor, constant

aten = torch.ops.aten


def integers(tensor: SymbolicTensor) -> NDArray[Any]:
    """The elements of an index (integers) or a mask (truth values) as they were recorded."""
    if not isinstance(tensor, NumberTensor):
        raise NoRule("an index that depends on the inputs")
    return tensor.array


Combine = Callable[[list[Scalar]], Scalar]


def scattered(
    base: SymbolicTensor,
    values: SymbolicTensor,
    targets: NDArray[Any],
    combine: Combine,
    *,
    with_base: bool = True,
) -> SymbolicTensor:
    """`base` with `values` joined to what is at the places that `targets` (flat, one per value) names, or put there."""
    arriving: dict[int, list[Index]] = defaultdict(list)
    for index, target in zip(np.ndindex(*targets.shape), targets.reshape(-1).tolist(), strict=True):
        arriving[target].append(index)
    strides = np.array(np.cumprod([1, *base.shape[:0:-1]])[::-1], dtype=np.int64)

    def pull(index: Index) -> Scalar:
        flat = int(np.dot(index, strides)) if index else 0
        sources = arriving.get(flat, [])
        if not sources:
            return base[index]
        terms = [values[source] for source in sources]
        return combine([base[index], *terms] if with_base else terms)

    return SymbolicTensor(base.shape, pull)


def added(base: SymbolicTensor, values: SymbolicTensor, targets: NDArray[Any]) -> SymbolicTensor:
    """`base` with `values` added at these places."""
    return scattered(base, values, targets, sc.total)


def replaced(base: SymbolicTensor, values: SymbolicTensor, targets: NDArray[Any]) -> SymbolicTensor:
    """`base` with `values` put at these places, of several at one place the last."""
    return scattered(base, values, targets, lambda terms: terms[-1], with_base=False)


def _mean(terms: list[Scalar]) -> Scalar:
    return sc.apply(QUOTIENT, [sc.total(terms), sc.number(len(terms))])


COMBINE: Mapping[str, Combine] = {
    "sum": sc.total,
    "prod": sc.product,
    "mean": _mean,
    "amax": lambda terms: sc.largest(terms, "amax"),
    "amin": lambda terms: sc.largest(terms, "amin", sign=-1),
    "max": lambda terms: sc.largest(terms, "max"),
    "min": lambda terms: sc.largest(terms, "min", sign=-1),
}


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
    return (added if accumulate else replaced)(self, values.broadcast_to(targets.shape), targets)


@symbolic_rule(aten.put.default)
def put(self: SymbolicTensor, index: SymbolicTensor, source: SymbolicTensor, accumulate: bool = False) -> SymbolicTensor:
    places = integers(index)
    targets = np.where(places < 0, places + self.numel, places)
    return (added if accumulate else replaced)(self, source.reshape(targets.shape), targets)


@symbolic_rule(aten.scatter_add.default)
def scatter_add(self: SymbolicTensor, dim: int, index: SymbolicTensor, src: SymbolicTensor) -> SymbolicTensor:
    return scatter_reduce(self, dim, index, src, "sum")


@symbolic_rule(aten.scatter_reduce.two)
def scatter_reduce(
    self: SymbolicTensor,
    dim: int,
    index: SymbolicTensor,
    src: SymbolicTensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> SymbolicTensor:
    base = self if self.ndim else self.unsqueeze(0)
    places = integers(index) if index.ndim else integers(index).reshape(1)
    targets = _along(base.shape, dim % base.ndim, places)
    values = src if src.ndim else src.unsqueeze(0)
    return scattered(base, values, targets, COMBINE[reduce], with_base=include_self).reshape(self.shape)


@symbolic_rule(aten.index_add.default)
def index_add(
    self: SymbolicTensor, dim: int, index: SymbolicTensor, source: SymbolicTensor, *, alpha: float = 1
) -> SymbolicTensor:
    return index_reduce(self, dim, index, source if alpha == 1 else source * alpha, "sum")


@symbolic_rule(aten.index_reduce.default)
def index_reduce(
    self: SymbolicTensor,
    dim: int,
    index: SymbolicTensor,
    source: SymbolicTensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> SymbolicTensor:
    base = self if self.ndim else self.unsqueeze(0)
    values = source if source.ndim else source.unsqueeze(0)
    axis = dim % base.ndim
    places = integers(index).reshape([-1 if place == axis else 1 for place in range(base.ndim)])
    targets = _along(base.shape, axis, np.broadcast_to(places, values.shape))
    return scattered(base, values, targets, COMBINE[reduce], with_base=include_self).reshape(self.shape)


@symbolic_rule(aten.segment_reduce.default)
def segment_reduce(
    data: SymbolicTensor,
    reduce: str,
    *,
    lengths: SymbolicTensor | None = None,
    indices: SymbolicTensor | None = None,
    offsets: SymbolicTensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> SymbolicTensor:
    """Neighbours along `axis` joined, so many as `lengths` says; `initial` is joined to each group, if it is given."""
    if offsets is not None:
        ends = integers(offsets)
    elif lengths is not None:
        counts = integers(lengths)
        ends = np.concatenate([np.zeros_like(counts[..., :1]), np.cumsum(counts, axis=-1)], axis=-1)
    else:
        raise NoRule("segment_reduce without lengths and offsets")
    place = axis % data.ndim

    def pull(at: Index) -> Scalar:
        outer, group, inner = at[:place], at[place], at[place + 1 :]
        members = range(int(ends[(*outer, group)]), int(ends[(*outer, group + 1)]))
        terms = [data[(*outer, member, *inner)] for member in members]
        if reduce == "mean" and terms:
            total = sc.total(terms if initial is None else [sc.number(initial), *terms])
            return sc.apply(QUOTIENT, [total, sc.number(len(terms))])
        empty = {"sum": 0.0, "mean": float("nan"), "prod": 1.0, "max": float("-inf"), "min": float("inf")}[reduce]
        start = [] if terms and initial is None else [sc.number(empty if initial is None else initial)]
        return COMBINE[reduce]([*start, *terms])

    return SymbolicTensor((*data.shape[:place], ends.shape[-1] - 1, *data.shape[place + 1 :]), pull)


@symbolic_rule(aten._embedding_bag.default)
def embedding_bag(
    weight: SymbolicTensor,
    indices: SymbolicTensor,
    offsets: SymbolicTensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: SymbolicTensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[SymbolicTensor, None, None, None]:
    """Sums (mode 0), means (1) or maxima (2) of the rows that each bag looks up, those of `padding_idx` left out."""
    if scale_grad_by_freq:
        raise NoRule("scale_grad_by_freq: torch divides the derivative by how often a row is looked up")
    rows = integers(indices)
    starts = [*integers(offsets).tolist(), *([] if include_last_offset else [len(rows)])]

    def pull(at: Index) -> Scalar:
        bag, column = at
        members = [place for place in range(starts[bag], starts[bag + 1]) if rows[place] != padding_idx]
        terms = [weight[(int(rows[place]), column)] for place in members]
        if not terms:
            return sc.ZERO
        if per_sample_weights is not None:
            return sc.dot(terms, [per_sample_weights[(place,)] for place in members])
        return COMBINE[("sum", "mean", "amax")[mode]](terms)

    return SymbolicTensor((len(starts) - 1, weight.shape[1]), pull), None, None, None


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
    return added(constant(0, (num_weights, width)), grad_output, targets)
