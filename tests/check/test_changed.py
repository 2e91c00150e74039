"""What was changed in place after the trace is unverified, with its name; what did not read it is checked as ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.check import CheckReport

SAID = "{} was changed in place since the trace; trace again"


def large() -> Tensor:
    return torch.linspace(-1, 1, 600 * 600).reshape(600, 600).requires_grad_()


def unverified(report: CheckReport) -> dict[str, str]:
    entries = (*report.edges, *report.nodes, *report.leaves, *report.sums)
    return {entry.name: entry.reason for entry in entries if entry.verdict == "unverified"}


FROM_DETACHED: dict[str, Callable[[Tensor], Tensor]] = {
    "times itself": lambda w: (w.detach() * w).sum(),
    "times a function": lambda w: (torch.sigmoid(w.detach()) * w).sum(),
    "straight through": lambda w: (w + (w.round() - w).detach()).square().mean(),
    "through a view": lambda w: (torch.ones(2, 600) @ w.T).square().mean(),
}


@pytest.mark.parametrize("name", FROM_DETACHED)
def test_a_large_leaf_after_an_optimizer_step_is_no_mismatch(name: str) -> None:
    w = large()
    graph = gradviz.trace(FROM_DETACHED[name], w, device="cpu")
    assert not unverified(graph.check())
    w.grad = torch.ones_like(w)
    torch.optim.SGD([w], lr=0.1).step()
    report = graph.check()
    assert not report.mismatches, report
    assert SAID.format("w") in unverified(report).values()


def test_beside_a_changed_leaf_the_rest_is_checked() -> None:
    model, rows = nn.Sequential(nn.Linear(600, 600), nn.ReLU(), nn.Linear(600, 2)), torch.ones(3, 600)
    graph = gradviz.trace(model, rows, loss=lambda out: out.square().mean(), device="cpu")
    with torch.no_grad():
        model[0].weight.mul_(2)
    report = graph.check()
    assert not report.mismatches, report
    assert set(unverified(report).values()) == {SAID.format("0.weight")}
    assert [edge.name for edge in report.edges if edge.verdict == "match"][-2:] == ["∂f/∂e", "∂g/∂f"], report


def test_a_changed_constant_is_no_mismatch() -> None:
    x, w = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0], requires_grad=True)
    graph = gradviz.trace(lambda w: (w * x).sum(), w, device="cpu")
    x.zero_()
    report = graph.check()
    assert not report.mismatches, report
    assert "x was changed in place since the trace" in report.summary


def test_a_small_leaf_is_copied_and_stays_verified() -> None:
    w = torch.tensor([3.0, 4.0], requires_grad=True)
    graph = gradviz.trace(lambda w: w.exp().sum(), w, device="cpu")
    with torch.no_grad():
        w.mul_(2)
    assert not unverified(graph.check())


@pytest.mark.parametrize("name", FROM_DETACHED)
def test_a_write_through_data_that_torch_does_not_count_is_noticed(name: str) -> None:
    w = large()
    graph = gradviz.trace(FROM_DETACHED[name], w, device="cpu")
    w.data[1::2] *= -3
    report = graph.check()
    assert not report.mismatches, report
    assert SAID.format("w") in unverified(report).values()


def test_memory_that_was_let_go_is_not_read() -> None:
    constant, w = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0], requires_grad=True)
    graph = gradviz.trace(lambda w: (w * constant).sum(), w, device="cpu")
    constant.untyped_storage().resize_(0)
    report = graph.check()
    assert not report.mismatches, report
    assert SAID.format("constant") in unverified(report).values()


@pytest.mark.filterwarnings("ignore:ComplexHalf support:UserWarning")
def test_a_constant_that_torch_cannot_compare_is_told_when_it_is_written_to() -> None:
    constant, w = torch.tensor([1 + 2j, 2 - 1j]).to(torch.complex32), torch.tensor([3.0, 4.0], requires_grad=True)
    graph = gradviz.trace(lambda w: (w * constant.to(torch.complex64)).abs().sum(), w, device="cpu")
    assert not unverified(graph.check())
    constant.data.copy_(torch.tensor([5 + 1j, 2 - 1j]))
    assert "constant was changed in place since the trace" in graph.check().summary
