"""Rules of ops that pick elements by their value: sorting, medians, running extremes, pooled maxima.

Where torch says which elements it took, the output elements are those; of equal ones it may take any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten
Outputs = tuple[Tensor, ...]
Picked = tuple[SymbolicTensor, None]


def taken(x: SymbolicTensor, dim: int, places: Tensor) -> SymbolicTensor:
    """The elements of x at these places along `dim`; places may lack that dim, if there is one per line."""
    if not x.ndim:
        return x.broadcast_to(tuple(places.shape))
    axis = dim % x.ndim
    array = places.numpy(force=True)
    after = axis + (places.ndim == x.ndim)
    return x.reindexed(tuple(places.shape), lambda at: (*at[:axis], int(array[at]), *at[after:]))


@symbolic_rule(aten.sort.default, needs_outputs=True)
def sort(self: SymbolicTensor, dim: int = -1, descending: bool = False, *, outputs: Outputs) -> Picked:
    return taken(self, dim, outputs[1]), None


@symbolic_rule(aten.sort.stable, needs_outputs=True)
def sort_stable(
    self: SymbolicTensor, *, stable: bool | None, dim: int = -1, descending: bool = False, outputs: Outputs
) -> Picked:
    return taken(self, dim, outputs[1]), None


@symbolic_rule(aten.topk.default, needs_outputs=True)
def topk(
    self: SymbolicTensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True, *, outputs: Outputs
) -> Picked:
    return taken(self, dim, outputs[1]), None


@symbolic_rule(aten.kthvalue.default, needs_outputs=True)
def kthvalue(self: SymbolicTensor, k: int, dim: int = -1, keepdim: bool = False, *, outputs: Outputs) -> Picked:
    return taken(self, dim, outputs[1]), None


@symbolic_rule(aten.median.dim, aten.nanmedian.dim, needs_outputs=True)
def median_dim(self: SymbolicTensor, dim: int, keepdim: bool = False, *, outputs: Outputs) -> Picked:
    return taken(self, dim, outputs[1]), None


@symbolic_rule(aten.mode.default, needs_outputs=True)
def mode(self: SymbolicTensor, dim: int = -1, keepdim: bool = False, *, outputs: Outputs) -> Picked:
    return taken(self, dim, outputs[1]), None


@symbolic_rule(aten.cummax.default, aten.cummin.default, needs_outputs=True)
def running_extreme(self: SymbolicTensor, dim: int, *, outputs: Outputs) -> Picked:
    return taken(self, dim, outputs[1]), None


def _middle(name: str, *, ignoring_nan: bool) -> Callable[[list[Scalar]], Scalar]:
    """The lower middle of the elements; nan if one is nan, or, ignoring them, if all are."""

    def combine(elements: list[Scalar]) -> Scalar:
        undefined = [element for element in elements if MP.isnan(element.value)]
        numbers = sorted((element for element in elements if not MP.isnan(element.value)), key=lambda one: one.value)
        if undefined and not (ignoring_nan and numbers):
            return sc.chosen(undefined[0], elements, name)
        return sc.chosen(numbers[(len(numbers) - 1) // 2], numbers, name)

    return combine


@symbolic_rule(aten.median.default)
def median(self: SymbolicTensor) -> SymbolicTensor:
    return self.reduce(_middle("median", ignoring_nan=False))


@symbolic_rule(aten.nanmedian.default)
def nanmedian(self: SymbolicTensor) -> SymbolicTensor:
    return self.reduce(_middle("nanmedian", ignoring_nan=True))


def pooled(x: SymbolicTensor, places: Tensor, spatial: int) -> SymbolicTensor:
    """The elements of x at these places, flat within the last `spatial` dims."""
    array, sizes = places.numpy(force=True), x.shape[-spatial:]

    def source(at: Index) -> Index:
        return (*at[:-spatial], *map(int, np.unravel_index(int(array[at]), sizes)))

    return x.reindexed(tuple(places.shape), source)


@symbolic_rule(aten.adaptive_max_pool2d.default, aten.adaptive_max_pool3d.default, needs_outputs=True)
def adaptive_max_pool(self: SymbolicTensor, output_size: Sequence[int], *, outputs: Outputs) -> Picked:
    return pooled(self, outputs[1], len(output_size)), None


@symbolic_rule(aten.fractional_max_pool2d.default, aten.fractional_max_pool3d.default, needs_outputs=True)
def fractional_max_pool(
    self: SymbolicTensor,
    kernel_size: Sequence[int],
    output_size: Sequence[int],
    random_samples: SymbolicTensor,
    *,
    outputs: Outputs,
) -> Picked:
    return pooled(self, outputs[1], len(output_size)), None
