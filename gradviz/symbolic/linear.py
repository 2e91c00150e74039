"""Rules of the matrix product family, convolution and attention."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.symbolic import bulk
from gradviz.symbolic import scalar as sc
from gradviz.symbolic.entered import NumberTensor
from gradviz.symbolic.many import Many, Places, added, multiplied, summed, where
from gradviz.symbolic.registry import NoRule, symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.scatter import integers
from gradviz.symbolic.softmax import softmax
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten


@symbolic_rule(aten.mm.default, aten.bmm.default)
def matrix_product(self: SymbolicTensor, mat2: SymbolicTensor) -> SymbolicTensor:
    return self @ mat2


@symbolic_rule(aten.matmul.default)
def matmul(self: SymbolicTensor, other: SymbolicTensor) -> SymbolicTensor:
    return self @ other


@symbolic_rule(aten.mv.default)
def mv(self: SymbolicTensor, vec: SymbolicTensor) -> SymbolicTensor:
    return self @ vec


@symbolic_rule(aten.dot.default, aten.vdot.default)
def dot(self: SymbolicTensor, tensor: SymbolicTensor) -> SymbolicTensor:
    return self @ tensor


def with_bias(bias: SymbolicTensor, product: SymbolicTensor, beta: float, alpha: float) -> SymbolicTensor:
    """beta * bias + alpha * product; a bias with beta 0 is not read, as BLAS defines it."""
    scaled = product if alpha == 1 else alpha * product
    if beta == 0:
        return scaled
    return scaled + (bias if beta == 1 else beta * bias)


@symbolic_rule(aten.addmm.default)
def addmm(
    self: SymbolicTensor, mat1: SymbolicTensor, mat2: SymbolicTensor, *, beta: float = 1, alpha: float = 1
) -> SymbolicTensor:
    return with_bias(self, mat1 @ mat2, beta, alpha)


@symbolic_rule(aten.addmv.default)
def addmv(
    self: SymbolicTensor, mat: SymbolicTensor, vec: SymbolicTensor, *, beta: float = 1, alpha: float = 1
) -> SymbolicTensor:
    return with_bias(self, mat @ vec, beta, alpha)


@symbolic_rule(aten.baddbmm.default)
def baddbmm(
    self: SymbolicTensor, batch1: SymbolicTensor, batch2: SymbolicTensor, *, beta: float = 1, alpha: float = 1
) -> SymbolicTensor:
    return with_bias(self, batch1 @ batch2, beta, alpha)


@symbolic_rule(aten.addbmm.default)
def addbmm(
    self: SymbolicTensor, batch1: SymbolicTensor, batch2: SymbolicTensor, *, beta: float = 1, alpha: float = 1
) -> SymbolicTensor:
    return with_bias(self, (batch1 @ batch2).sum(0), beta, alpha)


@symbolic_rule(aten.addr.default)
def addr(
    self: SymbolicTensor, vec1: SymbolicTensor, vec2: SymbolicTensor, *, beta: float = 1, alpha: float = 1
) -> SymbolicTensor:
    return with_bias(self, vec1.unsqueeze(1) * vec2, beta, alpha)


@symbolic_rule(aten.linear.default)
def linear(input: SymbolicTensor, weight: SymbolicTensor, bias: SymbolicTensor | None = None) -> SymbolicTensor:
    product = input @ weight.transpose(0, 1)
    return product if bias is None else product + bias


@symbolic_rule(aten._trilinear.default)
def trilinear(
    i1: SymbolicTensor,
    i2: SymbolicTensor,
    i3: SymbolicTensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> SymbolicTensor:
    """The product of three tensors, each with dims of size 1 put in, summed over `sumdim`."""
    factors = []
    for tensor, dims in ((i1, expand1), (i2, expand2), (i3, expand3)):
        for dim in sorted(dims):
            tensor = tensor.unsqueeze(dim)
        factors.append(tensor)
    return (factors[0] * factors[1] * factors[2]).sum(sumdim)


def _reaches(kernel: Sequence[int], gaps: Sequence[int]) -> list[int]:
    """How many elements a kernel spans in each dim, with the gaps that dilation leaves."""
    return [gap * (k - 1) + 1 for k, gap in zip(kernel, gaps, strict=True)]


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
    steps, pads, gaps, extra = (_per_dim(option, spatial) for option in (stride, padding, dilation, output_padding))
    sizes, kernel = input.shape[2:], weight.shape[2:]
    out_channels = weight.shape[1] * groups if transposed else weight.shape[0]
    in_group, out_group = input.shape[1] // groups, out_channels // groups
    out_sizes = [
        (size - 1) * step - 2 * pad + reach + more if transposed else (size + 2 * pad - reach) // step + 1
        for size, step, pad, more, reach in zip(sizes, steps, pads, extra, _reaches(kernel, gaps), strict=True)
    ]
    offsets = np.indices((in_group, *kernel)).reshape(1 + spatial, -1)

    def taps(index: Places) -> tuple[Places, Places, NDArray[np.bool_]]:
        """What is multiplied for some output elements: places in the input, in the weight, and which are not padding.

        Each place is an array with a row per output element and a column per kernel element.
        """
        batch, channel, *out = (place.reshape(-1, 1) for place in index)
        group, within = channel // out_group, channel % out_group
        valid = np.ones((len(index[0]), offsets.shape[1]), dtype=np.bool_)
        here = []
        for dim, (o, k) in enumerate(zip(out, offsets[1:], strict=True)):
            if transposed:
                found, rest = np.divmod(o + pads[dim] - k * gaps[dim], steps[dim])
                valid &= rest == 0
            else:
                found = o * steps[dim] - pads[dim] + k * gaps[dim]
            valid &= (found >= 0) & (found < sizes[dim])
            here.append(found.clip(0, sizes[dim] - 1))
        full = group * in_group + offsets[0]
        in_weight = (full, within, *offsets[1:]) if transposed else (channel, *offsets)
        return (batch, full, *here), in_weight, valid

    def pull(index: Index) -> Scalar:
        in_input, in_weight, valid = taps(tuple(np.array([place]) for place in index))
        left, right = _flattened(in_input, valid), _flattened(in_weight, valid)
        value = bulk.dot(input, left, weight, right) if len(left[0]) else sc.ZERO
        return value if bias is None else sc.total([value, bias[(index[1],)]])

    def read(index: Places, count: int) -> Many:
        assert input.many is not None and weight.many is not None
        in_input, in_weight, valid = taps(index)
        every = np.ones_like(valid)
        left = input.many(_flattened(in_input, every), valid.size)
        right = weight.many(_flattened(in_weight, every), valid.size)
        value = summed(multiplied(where(left, valid.reshape(-1)), right), count)
        return value if bias is None or bias.many is None else added(value, bias.many((index[1],), count))

    cheap = in_group and all(tensor.many is not None for tensor in (input, weight, bias) if tensor is not None)
    return SymbolicTensor((input.shape[0], out_channels, *out_sizes), pull, read if cheap else None)


def _flattened(places: Places, valid: NDArray[np.bool_]) -> Places:
    """The valid places, in one line."""
    return tuple(np.broadcast_to(place, valid.shape)[valid] for place in places)


def _columns(indices: list[Index]) -> Places:
    return tuple(np.array(indices, dtype=np.int64).T)


def _per_dim(option: Sequence[int], spatial: int) -> list[int]:
    return list(option) * spatial if len(option) == 1 else list(option)


@symbolic_rule(aten._scaled_dot_product_flash_attention_for_cpu.default)
def attention(
    query: SymbolicTensor,
    key: SymbolicTensor,
    value: SymbolicTensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: SymbolicTensor | None = None,
    scale: float | None = None,
) -> tuple[SymbolicTensor, None]:
    """softmax(scale Q Kᵀ + mask) V; with `is_causal` a query sees the keys up to its own place.

    Of fewer heads of keys and values each is shared by as many neighbouring heads of the query.
    """
    if dropout_p:
        raise NoRule("attention with dropout: its mask is not recorded")
    key, value = (_shared_by(tensor, query.shape[-3]) for tensor in (key, value))
    size = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = (query @ key.transpose(-2, -1)) * size
    if attn_mask is not None:
        scores = scores + attn_mask
    if not is_causal:
        return softmax(scores, -1) @ value, None
    columns = value.shape[-2]

    def pull(index: Index) -> Scalar:
        *outer, row, column = index
        seen = min(row + 1, columns)
        line = SymbolicTensor((seen,), lambda place: scores[(*outer, row, place[0])])
        weights = softmax(line, 0)
        return sc.dot([weights[(k,)] for k in range(seen)], [value[(*outer, k, column)] for k in range(seen)])

    hidden = NumberTensor(np.triu(np.full(scores.shape[-2:], -np.inf), 1))
    return SymbolicTensor((*query.shape[:-1], value.shape[-1]), pull, (softmax(scores + hidden, -1) @ value).many), None


def _shared_by(tensor: SymbolicTensor, heads: int) -> SymbolicTensor:
    """The heads of (..., heads, places, features), each repeated until there are `heads`."""
    *outer, own, places, features = tensor.shape
    if own == heads:
        return tensor
    shape = (*outer, heads, places, features)
    return tensor.moved(shape, lambda index: (*index[:-3], index[-3] * own // heads, *index[-2:]))


@symbolic_rule(aten._grouped_mm.default)
def grouped_mm(
    self: SymbolicTensor,
    mat2: SymbolicTensor,
    offs: SymbolicTensor | None = None,
    bias: SymbolicTensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> SymbolicTensor:
    """Matrix products of groups, as of the tokens that each expert gets; group g of a dim that is cut ends at `offs[g]`.

    Either the rows of `self` are cut, or the columns of `mat2`, or what is summed over (then there is a product per group).
    """
    if bias is not None:
        raise NoRule("a grouped matrix product with a bias")
    if offs is None:
        return self @ mat2
    ends = integers(offs).tolist()
    cut = self.shape[0] if mat2.ndim == 3 else mat2.shape[1] if self.ndim == 3 else self.shape[1]
    if ends[-1] != cut:
        raise NoRule("a grouped matrix product whose groups do not cover the matrix")

    def group_of(place: int) -> int:
        return bisect_right(ends, place)

    def pull(index: Index) -> Scalar:
        row, column = index[-2:]
        if self.ndim == mat2.ndim == 2:
            within = range(ends[index[0] - 1] if index[0] else 0, ends[index[0]])
            left: list[Index] = [(row, k) for k in within]
            right: list[Index] = [(k, column) for k in within]
        else:
            inner = range(self.shape[-1])
            group = group_of(row) if self.ndim == 2 else group_of(column)
            left = [(row, k) if self.ndim == 2 else (group, row, k) for k in inner]
            right = [(group, k, column) if self.ndim == 2 else (k, column) for k in inner]
        return bulk.dot(self, _columns(left), mat2, _columns(right)) if left else sc.ZERO

    outer = (len(ends),) if self.ndim == mat2.ndim == 2 else ()
    return SymbolicTensor((*outer, self.shape[-2], mat2.shape[-1]), pull)
