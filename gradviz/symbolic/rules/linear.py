"""Rules of the matrix product family and of attention."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch

from gradviz.symbolic import bulk
from gradviz.symbolic import scalar as sc
from gradviz.symbolic.entered import NumberTensor
from gradviz.symbolic.many import Places
from gradviz.symbolic.registry import NoRule, symbolic_rule
from gradviz.symbolic.rules.scatter import integers
from gradviz.symbolic.rules.softmax import softmax
from gradviz.symbolic.scalar import Scalar
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


def _columns(indices: list[Index]) -> Places:
    return tuple(np.array(indices, dtype=np.int64).T)


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
