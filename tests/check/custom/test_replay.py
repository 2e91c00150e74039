"""Recorded calls run again in float64: the same derivative as autograd's, a bound that holds and is not slack."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check.custom.replay import Replay
from gradviz.symbolic import NoRule

aten = torch.ops.aten


def recorded(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[tuple[gradviz.opcall.OpCall, ...], Tensor, Tensor]:
    """The calls of a function, its input's and its output's snapshots."""
    graph = gradviz.trace(lambda x: function(x), x, grad_output=torch.ones_like(function(x)))
    calls = tuple(attributes["call"] for _, attributes in graph.nodes(data=True) if attributes["call"] is not None)
    entered, came_out = graph.value(graph.leaves["x"]), graph.value(graph.output)
    assert entered is not None and came_out is not None
    return calls, entered, came_out


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "chain": lambda x: torch.tanh(x * x) / (1 + x.exp()),
    "product": lambda x: torch.softmax(x @ x.T, -1),
    "in place": lambda x: x.clone().mul_(x).add_(1).sqrt_(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_vjp_is_that_of_autograd_in_float64(name: str) -> None:
    x = (torch.rand(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.5).requires_grad_()
    calls, entered, came_out = recorded(FUNCTIONS[name], x)
    cotangent = torch.rand(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected,) = torch.autograd.grad(FUNCTIONS[name](x), x, cotangent)
    found, bound = Replay(calls, {0: entered}, {0: came_out}, torch.float64).bounded_vjp({0: cotangent})[0]
    assert (expected - found).abs().le(bound).all()
    assert bound.le(1e-12).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_torch_computes_in_float32_is_within_the_bound(name: str) -> None:
    x = (torch.rand(4, 4, generator=torch.Generator().manual_seed(0)) + 0.5).requires_grad_()
    calls, entered, came_out = recorded(FUNCTIONS[name], x)
    cotangent = torch.rand(4, 4, generator=torch.Generator().manual_seed(1))
    (expected,) = torch.autograd.grad(FUNCTIONS[name](x), x, cotangent)
    found, bound = Replay(calls, {0: entered}, {0: came_out}, torch.float32).bounded_vjp({0: cotangent})[0]
    assert (expected - found).abs().le(bound).all()
    assert bound.le(found.abs() * 1e-3 + 1e-4).all()


def test_the_mask_of_a_dropout_is_the_one_that_was_drawn() -> None:
    x = torch.ones(64, requires_grad=True)
    calls, entered, came_out = recorded(lambda x: torch.dropout(x * 2, 0.5, True), x)
    found = Replay(calls, {0: entered}, {0: came_out}, torch.float32).vjp({0: torch.ones(64)})[0]
    assert torch.equal(found, came_out)


def test_a_call_that_draws_random_numbers_by_its_input_is_not_run_again() -> None:
    x = torch.full([3], 0.25, requires_grad=True)
    calls, entered, came_out = recorded(lambda x: torch.bernoulli(x * 2) * x, x)
    with pytest.raises(NoRule, match="draws random numbers"):
        Replay(calls, {0: entered}, {0: came_out}, torch.float32).vjp({0: torch.ones(3)})


def test_an_output_of_unknown_origin_is_refused() -> None:
    with pytest.raises(NoRule, match="not made by its recorded calls"):
        Replay((), {0: torch.ones(2)}, {0: torch.ones(2)}, torch.float32)


def test_a_write_through_a_view_is_verified() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)

    def network(x: Tensor) -> Tensor:
        y = x * 2
        y[1:] = x[:2] * x[0]
        return (y * y).sum()

    report = gradviz.trace(network, x).check()
    assert report.ok, report
    assert {entry.verdict for entry in report.edges} == {"match"}


def test_a_view_that_is_read_after_its_base_was_written_to_is_verified() -> None:
    x = torch.randn(3, 4, requires_grad=True)

    def network(x: Tensor) -> Tensor:
        y = (x * 2).t()
        part = y[1:3]
        y[0] = x[:, 0] * x[:, 1]
        early = part * 1.5
        part[1] = early[0] * 3
        y[2:] *= 5
        return (part * early).sum() + y.sum()

    graph = gradviz.trace(network, x)
    assert "as_strided" in {op for _, op in graph.nodes(data="op")}
    report = graph.check()
    assert report.ok and report.verified, report
