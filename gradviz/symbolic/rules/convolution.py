"""The rule of convolution: which elements of the input meet which of the kernel, for one output element or for many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.symbolic import bulk
from gradviz.symbolic import scalar as sc
from gradviz.symbolic.indexing import per_dim
from gradviz.symbolic.many import Many, Places, added, multiplied, summed, where
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How a kernel moves over an input.

    Attributes:
        sizes, kernel: of the input and of the kernel, in each spatial dim.
        steps, pads, gaps: stride, padding and dilation, in each spatial dim.
        offsets: the channel within a group and the place of each kernel element, a row per dim.
        transposed: whether it is the transpose of the convolution with these options.
        in_group, out_group: how many channels of the input, and of the output, a group has.
    """

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    steps: list[int]
    pads: list[int]
    gaps: list[int]
    offsets: NDArray[np.int64]
    transposed: bool
    in_group: int
    out_group: int

    def out_sizes(self, more: Sequence[int]) -> list[int]:
        """Of the output, in each spatial dim; `more` is the output padding of a transpose."""
        reaches = [gap * (k - 1) + 1 for k, gap in zip(self.kernel, self.gaps, strict=True)]
        options = zip(self.sizes, self.steps, self.pads, more, reaches, strict=True)
        if self.transposed:
            return [(size - 1) * step - 2 * pad + reach + extra for size, step, pad, extra, reach in options]
        return [(size + 2 * pad - reach) // step + 1 for size, step, pad, _, reach in options]

    def taps(self, index: Places) -> tuple[Places, Places, NDArray[np.bool_]]:
        """What is multiplied for some output elements: places in the input, in the weight, and which are not padding.

        Each place is an array with a row per output element and a column per kernel element.
        """
        batch, channel, *out = (place.reshape(-1, 1) for place in index)
        group, within = channel // self.out_group, channel % self.out_group
        valid = np.ones((len(index[0]), self.offsets.shape[1]), dtype=np.bool_)
        here = []
        for dim, (place, offset) in enumerate(zip(out, self.offsets[1:], strict=True)):
            step, pad, reached = self.steps[dim], self.pads[dim], offset * self.gaps[dim]
            if self.transposed:
                found, rest = np.divmod(place + pad - reached, step)
                valid &= rest == 0
            else:
                found = place * step - pad + reached
            valid &= (found >= 0) & (found < self.sizes[dim])
            here.append(found.clip(0, self.sizes[dim] - 1))
        full = group * self.in_group + self.offsets[0]
        in_weight = (full, within, *self.offsets[1:]) if self.transposed else (channel, *self.offsets)
        return (batch, full, *here), in_weight, valid


@symbolic_rule(aten.convolution.default)
def convolution(
    input: SymbolicTensor,
    weight: SymbolicTensor,
    bias: SymbolicTensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> SymbolicTensor:
    """Cross-correlation, or its transpose, in any number of spatial dims; each output element is one dot product."""
    spatial = input.ndim - 2
    out_channels = weight.shape[1] * groups if transposed else weight.shape[0]
    in_group = input.shape[1] // groups
    geometry = Geometry(
        sizes=input.shape[2:],
        kernel=weight.shape[2:],
        steps=per_dim(stride, spatial),
        pads=per_dim(padding, spatial),
        gaps=per_dim(dilation, spatial),
        offsets=np.indices((in_group, *weight.shape[2:])).reshape(1 + spatial, -1),
        transposed=transposed,
        in_group=in_group,
        out_group=out_channels // groups,
    )

    def pull(index: Index) -> Scalar:
        in_input, in_weight, valid = geometry.taps(tuple(np.array([place]) for place in index))
        left, right = _flattened(in_input, valid), _flattened(in_weight, valid)
        value = bulk.dot(input, left, weight, right) if len(left[0]) else sc.ZERO
        return value if bias is None else sc.total([value, bias[(index[1],)]])

    def read(index: Places, count: int) -> Many:
        assert input.many is not None and weight.many is not None
        in_input, in_weight, valid = geometry.taps(index)
        every = np.ones_like(valid)
        left = input.many(_flattened(in_input, every), valid.size)
        right = weight.many(_flattened(in_weight, every), valid.size)
        value = summed(multiplied(where(left, valid.reshape(-1)), right), count)
        return value if bias is None or bias.many is None else added(value, bias.many((index[1],), count))

    cheap = in_group and all(one.many is not None for one in (input, weight, bias) if one is not None)
    shape = (input.shape[0], out_channels, *geometry.out_sizes(per_dim(output_padding, spatial)))
    return SymbolicTensor(shape, pull, read if cheap else None)


def _flattened(places: Places, valid: NDArray[np.bool_]) -> Places:
    """The valid places, in one line."""
    return tuple(np.broadcast_to(place, valid.shape)[valid] for place in places)
