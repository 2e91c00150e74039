"""Rules of sparse tensors: elements that they do not hold are no parameters of theirs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.entered import InputTensor, NumberTensor
from gradviz.symbolic.registry import NoRule, symbolic_rule
from gradviz.symbolic.rules.linear import with_bias
from gradviz.symbolic.rules.scatter import COMBINE
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten


def _pattern(x: SymbolicTensor) -> NDArray[np.bool_]:
    """Which elements a sparse tensor holds; a zero may be among them."""
    held = x.held if isinstance(x, (InputTensor, NumberTensor)) else None
    if held is None:
        raise NoRule("a sparse tensor of which it is not known which elements it holds")
    return held


def _only(x: SymbolicTensor, held: NDArray[np.bool_]) -> SymbolicTensor:
    """The held elements, and zeros."""
    return SymbolicTensor(x.shape, lambda at: x[at] if held[at] else sc.ZERO)


@symbolic_rule(aten._sparse_addmm.default)
def sparse_addmm(
    self: SymbolicTensor, mat1: SymbolicTensor, mat2: SymbolicTensor, *, beta: float = 1, alpha: float = 1
) -> SymbolicTensor:
    return with_bias(self, _only(mat1, _pattern(mat1)) @ mat2, beta, alpha)


@symbolic_rule(aten.sparse_sampled_addmm.default)
def sparse_sampled_addmm(
    self: SymbolicTensor, mat1: SymbolicTensor, mat2: SymbolicTensor, *, beta: float = 1, alpha: float = 1
) -> SymbolicTensor:
    """beta S + alpha A B where S holds an element; elsewhere beta S alone: 0, with torch's derivative."""
    return with_bias(self, _only(mat1 @ mat2, _pattern(self)), beta, alpha)


@symbolic_rule(aten._sparse_mm_reduce_impl.default)
def sparse_mm_reduce(self: SymbolicTensor, other: SymbolicTensor, reduce: str) -> tuple[SymbolicTensor, None]:
    """The sum, mean or extreme of the products of what a row of S holds; 0 where it holds nothing."""
    held = _pattern(self)
    join: Callable[[list[Scalar]], Scalar] = COMBINE[reduce]

    def pull(at: Index) -> Scalar:
        row, column = at
        inner = np.flatnonzero(held[row]).tolist()
        return join([sc.dot([self[(row, k)]], [other[(k, column)]]) for k in inner]) if inner else sc.ZERO

    return SymbolicTensor((self.shape[0], other.shape[1]), pull), None


@symbolic_rule(aten._to_dense.default)
def to_dense(self: SymbolicTensor, dtype: torch.dtype | None = None, masked_grad: bool | None = None) -> SymbolicTensor:
    return self if masked_grad is False else _only(self, _pattern(self))
