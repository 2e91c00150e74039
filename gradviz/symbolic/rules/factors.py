"""Rules of matrix factorizations: by the recurrences that define the factors, or by the equations that they satisfy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.entered import numbers
from gradviz.symbolic.implicit import implied, of_matrices
from gradviz.symbolic.matrix import batched, elements, numbers_of, part, transposed, triangle, vector
from gradviz.symbolic.registry import NoRule, if_there, symbolic_rule
from gradviz.symbolic.rules.solving import row_order
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import QUOTIENT, SQRT, Index, SymbolicTensor

aten = torch.ops.aten
Outputs = tuple[Tensor, ...]
_MINUS = sc.number(-1)
_SYMMETRIC_UP_TO = 32


def _require_symmetric(a: SymbolicTensor, name: str, unit: float) -> None:
    size = max((abs(item.approximate) for item in elements(a)), default=0.0)
    other = transposed(a)
    if any(abs(a[at].approximate - other[at].approximate) > _SYMMETRIC_UP_TO * unit * size for at in a.indices()):
        raise NoRule(f"{name} is a function of symmetric matrices, and its argument is not symmetric")


def cholesky_factor(x: SymbolicTensor, unit: float) -> SymbolicTensor:
    """L with L Lᵀ = A, of the symmetric part: torch hands half of each derivative to either triangle."""
    _require_symmetric(x, "cholesky", unit)

    def factor(a: SymbolicTensor) -> list[SymbolicTensor]:
        symmetric = _symmetric_part(a)

        def pull(at: Index) -> Scalar:
            row, column = at
            if row < column:
                return sc.ZERO
            rest = _rest(
                symmetric[at], [lower[(row, k)] for k in range(column)], [lower[(column, k)] for k in range(column)]
            )
            return sc.apply(SQRT, [rest]) if row == column else sc.apply(QUOTIENT, [rest, lower[(column, column)]])

        lower = SymbolicTensor(a.shape, pull)
        return [lower]

    (found,) = of_matrices(factor, [x], [x.shape[-2:]])
    return found


def _symmetric_part(a: SymbolicTensor) -> SymbolicTensor:
    return (a + transposed(a)) * 0.5


def _rest(value: Scalar, left: Sequence[Scalar], right: Sequence[Scalar]) -> Scalar:
    """value - Σ left right."""
    return sc.total([value, sc.dot([sc.dot(left, right)], [_MINUS])])


@symbolic_rule(*if_there("cholesky"), needs_outputs=True)
def cholesky(self: SymbolicTensor, upper: bool = False, *, outputs: Outputs) -> SymbolicTensor:
    factor = cholesky_factor(self, torch.finfo(outputs[0].dtype).eps)
    return transposed(factor) if upper else factor


@symbolic_rule(aten.linalg_cholesky_ex.default, needs_outputs=True)
def cholesky_ex(
    self: SymbolicTensor, *, upper: bool = False, check_errors: bool = False, outputs: Outputs
) -> tuple[SymbolicTensor, None]:
    return cholesky(self, upper, outputs=outputs), None


def lu_packed(x: SymbolicTensor) -> SymbolicTensor:
    """L (without its ones) and U in one matrix, rows in order: what is left of A, divided by the pivots."""

    def factor(a: SymbolicTensor) -> list[SymbolicTensor]:
        def pull(at: Index) -> Scalar:
            row, column = at
            before = range(min(row, column))
            rest = _rest(a[at], [packed[(row, k)] for k in before], [packed[(k, column)] for k in before])
            return rest if row <= column else sc.apply(QUOTIENT, [rest, packed[(column, column)]])

        packed = SymbolicTensor(a.shape, pull)
        return [packed]

    (found,) = of_matrices(factor, [x], [x.shape[-2:]])
    return found


def _lower_of(packed: SymbolicTensor) -> SymbolicTensor:
    rank = min(packed.shape[-2:])
    narrow = packed.reindexed((*packed.shape[:-1], rank), lambda at: at)
    return triangle(narrow, upper=False, unit=True)


def _upper_of(packed: SymbolicTensor) -> SymbolicTensor:
    rank = min(packed.shape[-2:])
    return triangle(packed.reindexed((*packed.shape[:-2], rank, packed.shape[-1]), lambda at: at), upper=True)


@symbolic_rule(aten.linalg_lu_factor_ex.default, needs_outputs=True)
def lu_factor(
    A: SymbolicTensor, *, pivot: bool = True, check_errors: bool = False, outputs: Outputs
) -> tuple[SymbolicTensor, None, None]:
    order = row_order(numbers(outputs[1]), A.shape[-2])
    exchanged = SymbolicTensor(A.shape, lambda at: A[(*at[:-2], order(at[:-2])[at[-2]], at[-1])])
    return lu_packed(exchanged), None, None


@symbolic_rule(aten.lu_unpack.default)
def lu_unpack(
    LU_data: SymbolicTensor, LU_pivots: SymbolicTensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[None, SymbolicTensor, SymbolicTensor]:
    return None, _lower_of(LU_data), _upper_of(LU_data)


@symbolic_rule(aten.linalg_lu.default, needs_outputs=True)
def lu(A: SymbolicTensor, *, pivot: bool = True, outputs: Outputs) -> tuple[None, SymbolicTensor, SymbolicTensor]:
    """A = P L U; the exchanges are those that were recorded."""
    rows = outputs[0].mT.argmax(-1) if outputs[0].numel() else torch.arange(A.shape[-2]).expand(A.shape[:-1])
    exchanged = SymbolicTensor(A.shape, lambda at: A[(*at[:-2], int(rows[at[:-1]]), at[-1])])
    packed = lu_packed(exchanged)
    return None, _lower_of(packed), _upper_of(packed)


@symbolic_rule(aten.linalg_qr.default, needs_outputs=True)
def qr(A: SymbolicTensor, mode: str = "reduced", *, outputs: Outputs) -> tuple[SymbolicTensor, SymbolicTensor]:
    """Orthonormal columns by Gram and Schmidt, with the recorded signs; R = Qᵀ A."""
    rows, columns = A.shape[-2:]
    rank = min(rows, columns)
    if outputs[0].shape[-1] != rank:
        raise NoRule("the columns of Q beyond those of A are not functions of A")
    signs = torch.sign(torch.diagonal(outputs[1], dim1=-2, dim2=-1))
    found = of_matrices(_gram_schmidt, [A], [(rows, rank), (rank, columns)])
    signed = SymbolicTensor((*A.shape[:-2], rank), lambda at: sc.number(float(signs[at])))
    return found[0] * signed.unsqueeze(-2), found[1] * signed.unsqueeze(-1)


def _gram_schmidt(a: SymbolicTensor) -> list[SymbolicTensor]:
    """Q and R, the diagonal of R positive."""
    rows, columns = a.shape
    lines = range(rows)

    def direction(at: Index) -> Scalar:
        """A column of A without what lies along the earlier ones."""
        row, column = at
        return _rest(a[at], [q[(row, k)] for k in range(column)], [r[(k, column)] for k in range(column)])

    def entry(at: Index) -> Scalar:
        row, column = at
        if row > column:
            return sc.ZERO
        if row < column:
            return sc.dot([q[(k, row)] for k in lines], [a[(k, column)] for k in lines])
        line = [left[(k, column)] for k in lines]
        return sc.apply(SQRT, [sc.dot(line, line)])

    rank = min(rows, columns)
    left = SymbolicTensor((rows, rank), direction)
    r = SymbolicTensor((rank, columns), entry)
    q = SymbolicTensor((rows, rank), lambda at: sc.apply(QUOTIENT, [left[at], r[(at[1], at[1])]]))
    return [q, r]


@symbolic_rule(aten._linalg_eigh.default, needs_outputs=True)
def eigh(
    A: SymbolicTensor, UPLO: str = "L", compute_v: bool = True, *, outputs: Outputs
) -> tuple[SymbolicTensor, SymbolicTensor | None]:
    """A v = λ v and |v| = 1, for each eigenvalue, of the symmetric part; see `cholesky_factor`."""
    _require_symmetric(A, "eigh", torch.finfo(outputs[0].dtype).eps)
    size = A.shape[-1]

    def pair(found: Index) -> list[SymbolicTensor]:
        outer, place = found[:-1], found[-1]
        a = part(A, outer)
        _, vectors = np.linalg.eigh(_approximate(a))
        start = vectors[:, place]
        if compute_v:
            start = start * np.sign(start @ numbers_of(outputs[1], outer)[:, place])

        def equations(x: Sequence[Scalar], given: Sequence[Scalar]) -> list[Scalar]:
            v = vector(x[1:])
            return [*elements(_symmetric_part(vector(given).reshape(a.shape)) @ v - v * vector(x[:1])), _unit(v)]

        first = float(numbers_of(outputs[0], outer)[place])
        solved = implied(equations, elements(a), [first, *start.tolist()])
        return [vector(solved[:1]), vector(solved[1:])]

    values, vectors = batched((*A.shape[:-2], size), [(1,), (size,)], pair)
    return values.reindexed(A.shape[:-1], lambda at: (*at, 0)), transposed(vectors) if compute_v else None


@symbolic_rule(aten._linalg_svd.default, needs_outputs=True)
def svd(
    A: SymbolicTensor,
    full_matrices: bool = False,
    compute_uv: bool = True,
    *,
    driver: str | None = None,
    outputs: Outputs,
) -> tuple[SymbolicTensor | None, SymbolicTensor, SymbolicTensor | None]:
    """A v = s u, Aᵀ u = s v and |u| = 1, for each singular value."""
    rows, columns = A.shape[-2:]
    rank = min(rows, columns)

    def triple(found: Index) -> list[SymbolicTensor]:
        outer, place = found[:-1], found[-1]
        a = part(A, outer)
        left, _, right = np.linalg.svd(_approximate(a), full_matrices=False)
        u, v = left[:, place], right[place]
        if compute_uv:
            sign = np.sign(u @ numbers_of(outputs[0], outer)[:, place])
            u, v = u * sign, v * sign

        def equations(x: Sequence[Scalar], given: Sequence[Scalar]) -> list[Scalar]:
            s, u, v = vector(x[:1]), vector(x[1 : 1 + rows]), vector(x[1 + rows :])
            matrix = vector(given).reshape(a.shape)
            return [*elements(matrix @ v - u * s), *elements(transposed(matrix) @ u - v * s), _unit(u)]

        first = float(numbers_of(outputs[1], outer)[place])
        solved = implied(equations, elements(a), [first, *u.tolist(), *v.tolist()])
        return [vector(solved[:1]), vector(solved[1 : 1 + rows]), vector(solved[1 + rows :])]

    s, u, v = batched((*A.shape[:-2], rank), [(1,), (rows,), (columns,)], triple)
    has_u = compute_uv and outputs[0].shape[-1] == rank
    has_v = compute_uv and outputs[2].shape[-2] == rank
    return transposed(u) if has_u else None, s.reindexed(s.shape[:-1], lambda at: (*at, 0)), v if has_v else None


def _unit(v: SymbolicTensor) -> Scalar:
    """v·v - 1."""
    return sc.total([(v @ v)[()], _MINUS])


def _approximate(a: SymbolicTensor) -> NDArray[np.float64]:
    return np.reshape([item.approximate for item in elements(a)], a.shape)
