"""Complex tensors are checked part by part, in the convention in which autograd keeps their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport, EdgeCheck


class Sine(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return torch.sin(z)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad * torch.cos(z).conj()


class ForgottenConjugate(Sine):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad * torch.cos(z)


class Modulus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        ctx.save_for_backward(z)
        return z.abs()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad * z / z.abs()


class ConjugateModulus(Modulus):
    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad * z.conj() / z.abs()


class HalvedModulus(Modulus):
    """As by the formula for ∂s/∂z*, without the factor 2 that torch documents for real results."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (z,) = ctx.saved_tensors
        return grad * z / (2 * z.abs())


def random(*shape: int, dtype: torch.dtype = torch.complex128) -> Tensor:
    drawn = torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(5))
    return drawn.to(dtype).requires_grad_()


def checked(function: Callable[..., Tensor], *leaves: Tensor) -> CheckReport:
    return gradviz.trace(function, *leaves).check()


def around(apply: Callable[[Tensor], Tensor], leaf: Tensor) -> CheckReport:
    """The function in the middle of a graph."""
    return checked(lambda z: (apply(z * z + 1j) * 2).abs().square().sum() + (z.conj() * z).real.sum(), leaf)


def mismatched(report: CheckReport) -> list[EdgeCheck]:
    return [entry for entry in report.mismatches if isinstance(entry, EdgeCheck)]


@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64], ids=str)
def test_every_edge_value_and_gradient_of_a_complex_graph_is_verified_symbolically(dtype: torch.dtype) -> None:
    z, x = random(3, dtype=dtype), random(3, dtype=dtype).real.detach().clone().requires_grad_()

    def run(z: Tensor, x: Tensor) -> Tensor:
        w = torch.exp(z) * x + z.conj() * z / (1 + z)
        spectrum = torch.fft.fft(w)
        polar = torch.polar(x.exp(), x) @ torch.complex(x, x * x)
        return spectrum.abs().square().sum() + w.angle().sum() + (z @ w).real + polar.imag + torch.linalg.norm(z)

    report = checked(run, z, x)
    assert report.verified, report
    assert {edge.method for edge in report.edges} == {"symbolic"}
    assert {leaf.name: leaf.verdict for leaf in report.leaves} == {"z": "match", "x": "match"}


def test_large_complex_tensors_are_sampled_and_probed() -> None:
    report = checked(lambda z: torch.tanh(z).abs().sum(), random(40, 30))
    assert report.verified, report
    tanh = report.edges[0]
    assert (tanh.method, tanh.total) == ("symbolic", (2 * 1200) ** 2)
    assert 0 < tanh.checked < tanh.total


@pytest.mark.parametrize("shape", [(), (5,), (60,)], ids=str)
@pytest.mark.parametrize("function", [Sine, Modulus])
def test_a_right_backward_of_complex_numbers_matches(function: Any, shape: tuple[int, ...]) -> None:
    assert around(function.apply, random(*shape)).verified


@pytest.mark.parametrize("shape", [(), (5,), (60,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex64], ids=str)
@pytest.mark.parametrize("function", [ForgottenConjugate, ConjugateModulus])
def test_a_missing_conjugate_is_found_at_its_edge_and_called_so(
    function: Any, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    (edge,) = mismatched(around(function.apply, random(*shape, dtype=dtype)))
    assert "missing conjugate" in edge.reason


def test_a_halved_gradient_is_wrong_by_the_factor_2() -> None:
    (edge,) = mismatched(around(HalvedModulus.apply, random(5)))
    assert "missing factor 2" in edge.reason


def test_an_op_without_complex_rule_is_verified_by_differences_of_both_parts() -> None:
    report = checked(lambda z: torch.view_as_real(torch.linalg.qr(z).R).sum(), random(3, 2))
    qr = report.edges[0]
    assert (qr.verdict, qr.method) == ("match", "numeric")


def test_the_modulus_at_0_is_a_kink() -> None:
    report = checked(lambda z: z.abs().sum(), torch.zeros(2, dtype=torch.complex128, requires_grad=True))
    assert report.edges[0].verdict == "match"
    assert "kink (modulus at 0" in report.edges[0].reason


def test_a_part_that_vanishes_is_no_cancellation() -> None:
    report = checked(lambda z: (z * z.conj()).imag.sum(), random(4))
    assert [(node.name, node.verdict, node.finding) for node in report.nodes if node.finding] == [("b", "match", "rounding")]


def test_formulas_are_those_of_holomorphic_functions_only() -> None:
    formulas = {edge.name: edge.formula for edge in checked(lambda z: (torch.sin(z) * 1j).abs().sum(), random(2)).edges}
    assert formulas == {"∂a/∂z": "cos(z)", "∂b/∂a": "i", "∂c/∂b": "", "∂d/∂c": "1"}


@pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental")
def test_numbers_that_torch_does_not_compare_are_checked_too() -> None:
    x = torch.tensor([0.5, -1.5], requires_grad=True)
    report = gradviz.trace(lambda x: torch.view_as_real(x.to(torch.complex32)).float().square().sum(), x).check()
    assert [(edge.verdict, edge.method) for edge in report.edges] == [("match", "symbolic")] * len(report.edges)
