"""Forward-mode differentiation in the traced code: where torch ran another call than autograd's node is of, it is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
"""torch.func imports a module that scripts functions."""


def cubes(x: Tensor) -> Tensor:
    return (x**3).sum() + torch.sin(x).prod()


def hessian(x: Tensor) -> Tensor:
    return torch.func.hessian(cubes)(x).square().sum()


def twice_forward(x: Tensor) -> Tensor:
    return torch.func.jacfwd(torch.func.jacfwd(lambda y: torch.tanh(y * x.detach()).sum()))(x).square().sum()


def along_a_tangent_with_zeros(x: Tensor) -> Tensor:
    tangents = (torch.ones_like(x), torch.zeros_like(x))
    return torch.func.jvp(lambda a, b: ((a * 2 - b * b) / 3 + (b - a) * b).sum(), (x, x * 2), tangents)[1]


IN_FORWARD_MODE: dict[str, Callable[[Tensor], Tensor]] = {
    function.__name__: function for function in (hessian, twice_forward, along_a_tangent_with_zeros)
}


def report_of(name: str) -> CheckReport:
    x = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    return gradviz.trace(IN_FORWARD_MODE[name], x).check()


@pytest.mark.parametrize("name", IN_FORWARD_MODE)
def test_forward_mode_is_never_called_wrong_and_no_check_fails(name: str) -> None:
    report = report_of(name)
    assert not report.mismatches, report
    assert not any("itself failed" in found.reason for found in (*report.edges, *report.nodes))
    assert all(leaf.verdict == "match" for leaf in report.leaves), report


def test_a_call_that_stands_for_another_is_told() -> None:
    reasons = {edge.reason for edge in report_of("hessian").edges if edge.verdict == "unverified"}
    said = "torch ran {} in the place of {}, an argument of which is nothing but zeros (forward mode)"
    assert reasons == {said.format("_efficientzerotensor", "mul"), said.format("_to_copy", "add")}
