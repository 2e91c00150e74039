"""Rules of inverses and solutions of linear systems, each defined by the equations that its columns satisfy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from gradviz.symbolic.implicit import implied
from gradviz.symbolic.matrix import (
    batched,
    conjugate_transposed,
    elements,
    identity,
    numbers_of,
    part,
    split,
    transposed,
    triangle,
    vector,
)
from gradviz.symbolic.registry import NoRule, symbolic_rule
from gradviz.symbolic.scalar import Pair, Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor, constant

aten = torch.ops.aten
Outputs = tuple[Tensor, ...]
Equation = Callable[[Sequence[SymbolicTensor], SymbolicTensor, SymbolicTensor], SymbolicTensor]
"""From matrices, a column of the unknown and one of the right side to what is zero."""


def _linear(matrices: Sequence[SymbolicTensor], x: SymbolicTensor, b: SymbolicTensor) -> SymbolicTensor:
    return matrices[0] @ x - b


def _least_squares(matrices: Sequence[SymbolicTensor], x: SymbolicTensor, b: SymbolicTensor) -> SymbolicTensor:
    return conjugate_transposed(matrices[0]) @ (matrices[0] @ x - b)


def solution(
    matrices: Sequence[SymbolicTensor], right: SymbolicTensor, recorded: Tensor, equation: Equation = _linear
) -> SymbolicTensor:
    """X, whose columns satisfy the equation with those of `right`; the recorded X is where to look for it."""
    batch, columns = tuple(recorded.shape[:-2]), recorded.shape[-1]

    def column(found: Index) -> list[SymbolicTensor]:
        outer, place = found[:-1], found[-1]
        here = [part(matrix, outer) for matrix in matrices]
        target = part(right, outer)
        b = target.reindexed(target.shape[:1], lambda index: (index[0], place))

        def equations(x: Sequence[Scalar], given: Sequence[Scalar]) -> list[Scalar]:
            *entered, column = split(given, [tensor.shape for tensor in (*here, b)])
            return elements(equation(entered, vector(x), column))

        start = numbers_of(recorded, outer)[:, place]
        return [vector(implied(equations, elements(*here, b), start.tolist()))]

    (found,) = batched((*batch, columns), [(recorded.shape[-2],)], column)
    return transposed(found)


@symbolic_rule(aten.linalg_inv_ex.default, needs_outputs=True)
def inverse(A: SymbolicTensor, *, check_errors: bool = False, outputs: Outputs) -> tuple[SymbolicTensor, None]:
    """A X = 1."""
    return solution([A], identity(*A.shape[-2:]), outputs[0]), None


@symbolic_rule(aten._linalg_solve_ex.default, needs_outputs=True)
def solve(
    A: SymbolicTensor, B: SymbolicTensor, *, left: bool = True, check_errors: bool = False, outputs: Outputs
) -> tuple[SymbolicTensor, None, None, None]:
    """A X = B, or X A = B; B may be a vector, or a batch of them."""
    recorded = outputs[0]
    if recorded.ndim == A.ndim - 1 and (B.ndim == 1 or B.shape == A.shape[:-1]):
        found = solution([A], B.unsqueeze(-1), recorded.unsqueeze(-1))
        return found.reindexed(recorded.shape, lambda index: (*index, 0)), None, None, None
    if left:
        return solution([A], B, recorded), None, None, None
    return transposed(solution([transposed(A)], transposed(B), recorded.mT)), None, None, None


@symbolic_rule(aten.linalg_solve_triangular.default, needs_outputs=True)
def solve_triangular(
    self: SymbolicTensor,
    B: SymbolicTensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
    outputs: Outputs,
) -> SymbolicTensor:
    """A X = B, or X A = B, of which A the one triangle is read."""
    a = triangle(self, upper=upper, unit=unitriangular)
    if left:
        return solution([a], B, outputs[0])
    return transposed(solution([transposed(a)], transposed(B), outputs[0].mT))


@symbolic_rule(aten.triangular_solve.default, needs_outputs=True)
def triangular_solve(
    self: SymbolicTensor,
    A: SymbolicTensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
    *,
    outputs: Outputs,
) -> tuple[SymbolicTensor, SymbolicTensor]:
    """A X = B or Aᵀ X = B; and a copy of A."""
    a = triangle(A, upper=upper, unit=unitriangular)
    return solution([transposed(a) if transpose else a], self, outputs[0]), A.broadcast_to(tuple(outputs[1].shape))


def _of_factor(factor: SymbolicTensor, right: SymbolicTensor, upper: bool, recorded: Tensor) -> SymbolicTensor:
    """L Lᵀ X = B. torch's derivative is that of the whole L, of which LAPACK reads one triangle: the other must be 0."""
    lower = conjugate_transposed(factor) if upper else factor
    if any(lower[index].value != 0 for index in lower.indices() if index[-2] < index[-1]):
        raise NoRule("a factor that is not triangular: torch's derivative is that of another function then")
    return solution([lower], right, recorded, lambda given, x, b: given[0] @ (conjugate_transposed(given[0]) @ x) - b)


@symbolic_rule(aten.cholesky_solve.default, needs_outputs=True)
def cholesky_solve(self: SymbolicTensor, input2: SymbolicTensor, upper: bool = False, *, outputs: Outputs) -> SymbolicTensor:
    return _of_factor(input2, self, upper, outputs[0])


@symbolic_rule(aten.cholesky_inverse.default, needs_outputs=True)
def cholesky_inverse(self: SymbolicTensor, upper: bool = False, *, outputs: Outputs) -> SymbolicTensor:
    return _of_factor(self, identity(*self.shape[-2:]), upper, outputs[0])


@symbolic_rule(aten.linalg_lu_solve.default, needs_outputs=True)
def lu_solve(
    LU: SymbolicTensor,
    pivots: SymbolicTensor,
    B: SymbolicTensor,
    *,
    left: bool = True,
    adjoint: bool = False,
    outputs: Outputs,
) -> SymbolicTensor:
    """P L U X = B, with the variants of `solve` and their transposes."""
    order = row_order(pivots, LU.shape[-2])
    joined = triangle(LU, upper=False, unit=True) @ triangle(LU, upper=True)
    product = joined.reindexed(LU.shape, lambda at: (*at[:-2], order(at[:-2]).index(at[-2]), at[-1]))
    turned = conjugate_transposed(product) if adjoint else product
    matrix = turned if left else transposed(turned)
    if left:
        return solution([matrix], B, outputs[0])
    return transposed(solution([matrix], transposed(B), outputs[0].mT))


def row_order(pivots: SymbolicTensor, rows: int) -> Callable[[Index], list[int]]:
    """Which row of A is each row of L U, by LAPACK's exchanges: row i with row pivots[i] - 1, in order."""

    def order(outer: Index) -> list[int]:
        here = part(pivots, outer, 1)
        places = list(range(rows))
        for row in range(here.shape[0]):
            other = int(here[(row,)].value) - 1
            places[row], places[other] = places[other], places[row]
        return places

    return order


def _pseudoinverse(A: SymbolicTensor, recorded: Tensor) -> SymbolicTensor:
    """Of full rank: Aᵀ (A X - 1) = 0; of a wide matrix the transpose of its transpose's; 0 where A is taken for 0."""
    if not recorded.any():
        return constant(0, recorded.shape)
    if A.shape[-2] < A.shape[-1]:
        return conjugate_transposed(_pseudoinverse(conjugate_transposed(A), recorded.mH))
    return solution([A], identity(A.shape[-2], A.shape[-2]), recorded, _least_squares)


@symbolic_rule(aten.linalg_pinv.default, needs_outputs=True)
def pinv(self: SymbolicTensor, rcond: float, hermitian: bool = False, *, outputs: Outputs) -> SymbolicTensor:
    return _pseudoinverse(self, outputs[0])


@symbolic_rule(aten.linalg_pinv.atol_rtol_float, aten.linalg_pinv.atol_rtol_tensor, needs_outputs=True)
def pinv_with_tolerances(
    self: SymbolicTensor,
    *,
    atol: SymbolicTensor | float | None = None,
    rtol: SymbolicTensor | float | None = None,
    hermitian: bool = False,
    outputs: Outputs,
) -> SymbolicTensor:
    """The tolerances only say what is taken for zero."""
    return _pseudoinverse(self, outputs[0])


@symbolic_rule(aten.linalg_lstsq.default, needs_outputs=True)
def lstsq(
    self: SymbolicTensor, b: SymbolicTensor, rcond: float | None = None, *, driver: str | None = None, outputs: Outputs
) -> tuple[SymbolicTensor, SymbolicTensor, None, None]:
    """The X of least norm with Aᵀ (A X - B) = 0; and the sums of squares that remain, where A is tall."""
    recorded = outputs[0]
    is_vector = recorded.ndim == self.ndim - 1
    right = b.unsqueeze(-1) if is_vector else b
    if self.shape[-2] >= self.shape[-1]:
        found = solution([self], right, recorded.unsqueeze(-1) if is_vector else recorded, _least_squares)
    else:
        numbers = [complex(item.value) if isinstance(item, Pair) else item.approximate for item in elements(self)]
        tensors = np.reshape(numbers, self.shape)
        found = _pseudoinverse(self, torch.from_numpy(np.linalg.pinv(tensors))) @ right
    residuals = (self @ found - right).squared_modulus().sum(-2)
    solved = found.reindexed(recorded.shape, lambda index: (*index, 0)) if is_vector else found
    return solved, residuals.reshape(outputs[1].shape), None, None
