"""Inputs for the rules of inverses, factorizations and functions of matrices."""

from __future__ import annotations

import torch
from symbolic_samples import add, expanded, tensor, transposed
from torch import Tensor

from gradviz.symbolic.registry import if_there

aten = torch.ops.aten


def symmetric(size: int, *, positive: bool = False, seed: int = 0) -> Tensor:
    a = tensor(size, size, seed=seed)
    return a @ a.mT + torch.eye(size, dtype=a.dtype) if positive else a + a.mT


_square, _regular = tensor(3, 3), tensor(2, 1, 2, 2, seed=1)
_lower = tensor(3, 3, low=0.5).tril()
_flat = torch.zeros(2, 2, dtype=torch.float64)
add(aten.linalg_inv_ex.default, _square)
add(aten.linalg_inv_ex.default, _regular)
add(aten.linalg_inv_ex.default, tensor(0, 0))
add(aten._linalg_solve_ex.default, _square, tensor(3, 2, seed=2))
add(aten._linalg_solve_ex.default, transposed(3, 3), tensor(3, seed=2))
add(aten._linalg_solve_ex.default, _square, tensor(2, 3, seed=2), left=False)
add(aten._linalg_solve_ex.default, _regular, tensor(3, 2, 2, seed=2))
for _upper in (True, False):
    for _unit in (True, False):
        _options = {"upper": _upper, "unitriangular": _unit}
        add(aten.linalg_solve_triangular.default, _square, tensor(3, 2, seed=2), **_options)
        add(aten.linalg_solve_triangular.default, _square, tensor(2, 3, seed=2), left=False, **_options)
        add(aten.triangular_solve.default, tensor(3, 2, seed=2), _square, _upper, not _upper, _unit)
    add(aten.cholesky_solve.default, tensor(3, 2, seed=2), _lower.mT if _upper else _lower, _upper)
    add(aten.cholesky_inverse.default, _lower.mT.contiguous() if _upper else _lower, _upper)
    for _cholesky in if_there("cholesky"):
        add(_cholesky, symmetric(3, positive=True), _upper)
    add(aten.linalg_cholesky_ex.default, symmetric(3, positive=True), upper=_upper)
add(aten.linalg_cholesky_ex.default, torch.stack([symmetric(2, positive=True, seed=seed) for seed in (1, 2)]))
_packed, _pivots = torch.linalg.lu_factor(_square)
for _adjoint in (True, False):
    add(aten.linalg_lu_solve.default, _packed, _pivots, tensor(3, 2, seed=2), adjoint=_adjoint)
    add(aten.linalg_lu_solve.default, _packed, _pivots, tensor(2, 3, seed=2), left=False, adjoint=_adjoint)
for _matrix in (_square, tensor(3, 2), transposed(2, 3), _regular):
    add(aten.linalg_lu_factor_ex.default, _matrix)
    add(aten.linalg_lu.default, _matrix)
    add(aten.lu_unpack.default, *torch.linalg.lu_factor(_matrix))
    add(aten.linalg_qr.default, _matrix)
    add(aten._linalg_svd.default, _matrix)
    add(aten.linalg_pinv.default, _matrix, 1e-10)
    add(aten.linalg_pinv.atol_rtol_float, _matrix)
    add(aten.linalg_pinv.atol_rtol_tensor, _matrix, rtol=torch.tensor(1e-12, dtype=torch.float64))
    add(aten.linalg_lstsq.default, _matrix, tensor(*_matrix.shape[:-1], 2, seed=3))
add(aten.linalg_pinv.atol_rtol_float, _square, rtol=10.0)  # every singular value is taken for 0
add(aten.linalg_lstsq.default, tensor(2, 3, 2), tensor(2, 3, seed=3))
add(aten._linalg_eigh.default, symmetric(3))
add(aten._linalg_eigh.default, torch.stack([symmetric(2, seed=seed) for seed in (1, 2)]), "U")
for _overload in (aten._linalg_det.default, aten._linalg_slogdet.default, aten.linalg_matrix_exp.default):
    for _matrix in (_square, _regular, expanded(2, 2) + torch.diag(tensor(2, seed=5)), tensor(1, 1), tensor(0, 0)):
        add(_overload, _matrix)
add(aten._linalg_det.default, expanded(2, 2) * torch.tensor([[1.0], [2.0]], dtype=torch.float64))  # singular
_reflections = torch.geqrf(tensor(4, 3))
add(aten.linalg_householder_product.default, *_reflections)
add(aten.linalg_householder_product.default, tensor(2, 3, 2), tensor(2, 2, seed=1))
for _left in (True, False):
    for _transposed in (True, False):
        _other = tensor(4, 2, seed=4) if _left else tensor(2, 4, seed=4)
        add(aten.ormqr.default, *_reflections, _other, _left, _transposed)
