"""Rules of determinants, of the matrix exponential and of products of Householder reflections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import sympy as sp
import torch

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.implicit import of_arrays, of_matrices
from gradviz.symbolic.matrix import identity, part, transposed, where
from gradviz.symbolic.products import Numbers, identity_like
from gradviz.symbolic.registry import NoRule, symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten
_x = sp.Symbol("x", real=True)
_SIGN = ScalarFunction("sign", (_x,), sp.Piecewise((1, _x > 0), (-1, _x < 0), (0, True)))
_LOG_SIZE = ScalarFunction("log|x|", (_x,), sp.log(sp.Abs(_x)))
_MINORS_UP_TO = 10
_EXPONENTIAL_UP_TO, _NORM_UP_TO = 8, 500
_FURTHER, _TERMS = 4, 25  # the series is summed at a norm of 1/16 at most, where its 26th term is below 1e-57
_MINUS = sc.number(-1)


def determinants(a: SymbolicTensor) -> SymbolicTensor:
    """By expansion along the first rows, each minor made once: also of singular matrices."""
    size = a.shape[-1]
    if size > _MINORS_UP_TO:
        raise NoRule(f"a determinant of {size} rows, more than the {_MINORS_UP_TO} that are expanded")

    def pull(outer: Index) -> Scalar:
        matrix = part(a, outer)
        minors: dict[tuple[int, ...], Scalar] = {(): sc.ONE}

        def minor(columns: tuple[int, ...]) -> Scalar:
            """Of the last len(columns) rows and these columns."""
            if columns not in minors:
                row = size - len(columns)
                signed = [matrix[(row, column)] for column in columns]
                signed = [sc.dot([item], [_MINUS]) if place % 2 else item for place, item in enumerate(signed)]
                rest = [minor(columns[:place] + columns[place + 1 :]) for place in range(len(columns))]
                minors[columns] = sc.dot(signed, rest)
            return minors[columns]

        return minor(tuple(range(size)))

    return SymbolicTensor(a.shape[:-2], pull)


@symbolic_rule(aten._linalg_det.default)
def det(A: SymbolicTensor) -> tuple[SymbolicTensor, None, None]:
    return determinants(A), None, None


@symbolic_rule(aten._linalg_slogdet.default)
def slogdet(A: SymbolicTensor) -> tuple[SymbolicTensor, SymbolicTensor, None, None]:
    """The sign of det A, and log |det A|."""
    found = determinants(A)
    return found.map(_SIGN), found.map(_LOG_SIZE), None, None


@symbolic_rule(aten.linalg_matrix_exp.default)
def matrix_exp(self: SymbolicTensor) -> SymbolicTensor:
    """Its power series at A / 2^k, then squared k times; derivatives by the product rule, along each element of A."""
    rows = self.shape[-1]
    if rows > _EXPONENTIAL_UP_TO:  # before all partials between the elements are entered
        raise NoRule(f"the exponential of {rows} rows, more than the {_EXPONENTIAL_UP_TO} that a power series is summed for")
    return of_arrays(_exponential, self, self.shape[-2:])


def _exponential(a: Numbers) -> Numbers:
    largest = a.size.sum(axis=1).max(initial=0.0)
    if largest > _NORM_UP_TO:
        raise NoRule(f"the exponential of a matrix of norm {largest:.4g}, more than {_NORM_UP_TO}")
    halvings = max(0, math.ceil(math.log2(largest))) + _FURTHER if largest else 0
    small = a.divided_by(2**halvings)
    result = identity_like(a)
    for term in range(_TERMS, 0, -1):  # 1 + A (1 + A/2 (1 + A/3 (...)))
        result = identity_like(a) + (small @ result).divided_by(term)
    for _ in range(halvings):
        result = result @ result
    return result


def reflected(vectors: SymbolicTensor, sizes: SymbolicTensor, right: SymbolicTensor, order: Sequence[int]) -> SymbolicTensor:
    """H_k = 1 - τ_k v_k v_kᵀ applied to X in this order; v_k is 0 above its place k and 1 there, as LAPACK keeps it."""

    def reflect(packed: SymbolicTensor, tau: SymbolicTensor, x: SymbolicTensor) -> list[SymbolicTensor]:
        v = where(packed, lambda row, column: row > column, lambda row, column: sc.ONE if row == column else sc.ZERO)
        for k in order:
            column = _column(v, k)
            x = x - (column * _column(tau, k)) @ (transposed(column) @ x)
        return [x]

    return of_matrices(reflect, [vectors, sizes.unsqueeze(-2), right], [right.shape[-2:]])[0]


def _column(x: SymbolicTensor, k: int) -> SymbolicTensor:
    return x.reindexed((x.shape[0], 1), lambda at: (at[0], k))


@symbolic_rule(aten.linalg_householder_product.default)
def householder_product(input: SymbolicTensor, tau: SymbolicTensor) -> SymbolicTensor:
    """The first columns of H_1 H_2 ..."""
    rows, columns = input.shape[-2:]
    start = identity(rows, columns).broadcast_to(input.shape)
    return reflected(input, tau, start, range(tau.shape[-1] - 1, -1, -1))


@symbolic_rule(aten.ormqr.default)
def ormqr(
    self: SymbolicTensor,
    input2: SymbolicTensor,
    input3: SymbolicTensor,
    left: bool = True,
    transpose: bool = False,
) -> SymbolicTensor:
    """Q C, Qᵀ C, C Q or C Qᵀ with Q = H_1 H_2 ..."""
    forward, backward = range(input2.shape[-1]), range(input2.shape[-1] - 1, -1, -1)
    if left:
        return reflected(self, input2, input3, forward if transpose else backward)
    return transposed(reflected(self, input2, transposed(input3), backward if transpose else forward))
