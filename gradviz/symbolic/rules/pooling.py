"""Rules of averages over windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.indexing import per_dim
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import QUOTIENT, Index, SymbolicTensor

aten = torch.ops.aten
Outputs = tuple[Tensor, ...]
Window = tuple[range, int]
"""The places along one dim, and how many there are with the padding."""


def averaged(
    x: SymbolicTensor, sizes: Sequence[int], window: Callable[[int, int], Window], divisor: int | None, with_padding: bool
) -> SymbolicTensor:
    """The mean over windows of the last len(sizes) dims; `window(dim, place)` says over which an output place looks."""
    spatial = len(sizes)

    def pull(at: Index) -> Scalar:
        outer = at[:-spatial]
        windows = [window(dim, place) for dim, place in enumerate(at[-spatial:])]
        inside = [x[(*outer, *places)] for places in itertools.product(*(places for places, _ in windows))]
        count = math.prod(full for _, full in windows) if with_padding else len(inside)
        total = sc.total(inside) if inside else sc.ZERO
        return sc.apply(QUOTIENT, [total, sc.number(count if divisor is None else divisor)])

    return SymbolicTensor((*x.shape[:-spatial], *sizes), pull)


def average_pool(
    x: SymbolicTensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    count_include_pad: bool,
    divisor: int | None,
    sizes: Sequence[int],
) -> SymbolicTensor:
    """The means of windows of one size; `sizes` are those of the result, in its last dims."""
    spatial = len(sizes)
    kernels, paddings = per_dim(kernel, spatial), per_dim(padding, spatial)
    steps = per_dim(stride, spatial) if stride else kernels

    def window(dim: int, place: int) -> Window:
        size, start = x.shape[dim - spatial], place * steps[dim] - paddings[dim]
        end = min(start + kernels[dim], size + paddings[dim])
        return range(max(start, 0), min(end, size)), end - start

    return averaged(x, sizes, window, divisor, count_include_pad)


@symbolic_rule(aten.avg_pool2d.default, needs_outputs=True)
def avg_pool2d(
    self: SymbolicTensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    outputs: Outputs,
) -> SymbolicTensor:
    sizes = outputs[0].shape[-2:]
    return average_pool(self, kernel_size, stride, padding, count_include_pad, divisor_override, sizes)


@symbolic_rule(aten.avg_pool3d.default, needs_outputs=True)
def avg_pool3d(
    self: SymbolicTensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    outputs: Outputs,
) -> SymbolicTensor:
    sizes = outputs[0].shape[-3:]
    return average_pool(self, kernel_size, stride, padding, count_include_pad, divisor_override, sizes)


@symbolic_rule(aten._adaptive_avg_pool2d.default, aten._adaptive_avg_pool3d.default)
def adaptive_avg_pool(self: SymbolicTensor, output_size: Sequence[int]) -> SymbolicTensor:
    """The i-th of n windows on a line of length m goes from floor(i m / n) to ceil((i + 1) m / n)."""
    spatial = len(output_size)

    def window(dim: int, place: int) -> Window:
        size, count = self.shape[dim - spatial], output_size[dim]
        places = range(place * size // count, -(-(place + 1) * size // count))
        return places, len(places)

    return averaged(self, output_size, window, None, False)
