"""What is defined by equations, or found by an algorithm on matrices: exact elements, and refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.opcall import OpCall
from gradviz.symbolic import NoRule, products, reference
from gradviz.symbolic.arithmetic import EXACT, MP
from gradviz.symbolic.implicit import implied
from gradviz.symbolic.scalar import Symbol, dot, number

aten = torch.ops.aten


def test_the_equations_decide_and_not_the_digits_of_the_start() -> None:
    a = Symbol(EXACT.number(2.0), 2.0, (0, ()), "a")
    roots = [implied(lambda x, a: [dot([x[0], a[0]], [x[0], number(-1)])], [a], [start])[0] for start in (1.41, 1.4142)]
    assert abs(roots[0].value - roots[1].value) < 1e-44
    assert abs(roots[0].value ** 2 - 2) < 1e-44


def test_a_start_that_solves_other_equations_is_refused() -> None:
    a = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    call = OpCall(overload=aten.linalg_inv_ex.default, args=(a,), outputs=(torch.linalg.inv(a) * 1.5, None))
    with pytest.raises(NoRule, match="do not determine it"):
        reference(call).value((0, 0))


def test_equal_singular_values_are_left_open() -> None:
    a = torch.eye(3, dtype=torch.float64) * 2
    call = OpCall(overload=aten._linalg_svd.default, args=(a,), outputs=tuple(torch.linalg.svd(a)))
    with pytest.raises(NoRule, match="do not determine it"):
        reference(call).row((0,), output=1)


def test_of_what_rounding_decides_no_differences_are_taken() -> None:
    turned = torch.tensor([[0.6, 0.8], [0.8, -0.6]], dtype=torch.float64, requires_grad=True)
    edge, *_ = gradviz.trace(lambda a: torch.linalg.svd(a)[0][0, 0], turned).check().edges
    assert edge.verdict == "unverified"
    assert edge.reason == "the equations that define it do not determine it at these inputs"


def test_a_function_of_symmetric_matrices_refuses_others() -> None:
    a = torch.tensor([[2.0, 1.0], [0.5, 3.0]], dtype=torch.float64)
    call = OpCall(overload=aten.linalg_cholesky_ex.default, args=(a,), outputs=tuple(torch.linalg.cholesky_ex(a)))
    with pytest.raises(NoRule, match="symmetric"):
        reference(call)


def test_a_larger_factorization_is_probed_along_symmetric_changes() -> None:
    torch.manual_seed(0)
    x = torch.randn(9, 9, dtype=torch.float64)
    a = (x @ x.mT + torch.eye(9)).requires_grad_()
    edge, *_ = gradviz.trace(lambda a: torch.linalg.cholesky(a).square().sum(), a).check().edges
    assert (edge.verdict, edge.method, edge.how) == ("match", "symbolic", "whole map probed by differences")


class SingularValues(torch.autograd.Function):
    """Their sum; the backward is off by a thousandth."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        u, s, vh = torch.linalg.svd(x, full_matrices=False)
        ctx.save_for_backward(u, vh)
        return torch.linalg.svdvals(x).sum() + 0 * s.sum()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *cotangents: Tensor) -> Tensor:
        u, vh = ctx.saved_tensors
        return 1.001 * cotangents[0] * (u @ vh)


def test_a_slip_in_the_backward_of_a_nuclear_norm_is_found() -> None:
    x = torch.tensor([[2.0, 1.0], [0.5, 3.0], [1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    (edge,) = gradviz.trace(lambda x: SingularValues.apply(x), x).check().edges
    assert edge.verdict == "mismatch"
    assert "0.1 %" in edge.reason or "1.001" in edge.reason, edge.reason


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0, -20.0])
def test_a_matrix_exponential_and_its_derivative_have_the_digits_of_mpmath(scale: float) -> None:
    a = scale * torch.tensor([[1.0, 0.25, 0.0], [0.5, 0.75, -0.125], [0.0, 0.25, 1.5]], dtype=torch.float64)
    truth = reference(OpCall(overload=aten.linalg_matrix_exp.default, args=(a,), outputs=(torch.linalg.matrix_exp(a),)))
    step = MP.mpf(10) ** -17
    moved = []
    for sign in (-1, 0, 1):
        matrix = MP.matrix(a.tolist())
        matrix[1, 0] += sign * step
        moved.append(MP.expm(matrix))
    largest = max(abs(moved[1][row, column]) for row in range(3) for column in range(3))
    for row, column in ((0, 0), (1, 2), (2, 1)):
        assert abs(truth.value((row, column)).value - moved[1][row, column]) < largest * MP.mpf(10) ** -42
        slope = (moved[2][row, column] - moved[0][row, column]) / (2 * step)
        assert abs(truth.row((row, column)).partial(0, (1, 0)).value - slope) < largest * MP.mpf(10) ** -28


def test_a_large_exponential_is_refused_before_its_partials_are_entered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "entered", lambda numbers: pytest.fail(f"{numbers.size} numbers are entered"))
    a = torch.zeros(50, 50, dtype=torch.float64)
    with pytest.raises(NoRule, match="the exponential of 50 rows, more than the 8"):
        reference(OpCall(overload=aten.linalg_matrix_exp.default, args=(a,), outputs=(a,))).value((0, 0))


def test_the_exponential_of_a_huge_matrix_is_refused() -> None:
    a = torch.tensor([[600.0]], dtype=torch.float64)
    call = OpCall(overload=aten.linalg_matrix_exp.default, args=(a,), outputs=(a,))
    with pytest.raises(NoRule, match="norm 600"):
        reference(call).value((0, 0))
