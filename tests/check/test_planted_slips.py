"""Each of many slips, planted one at a time in a larger graph, is a mismatch on exactly its edge, and called by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from planted import FUNCTIONS, SLIPS, Function, planted
from torch import Tensor

import gradviz
from gradviz.check import CheckReport, EdgeCheck
from gradviz.graph import Edge


def traced(function: Function, run: Callable[..., Tensor], dtype: torch.dtype) -> gradviz.GradGraph:
    """The function in the middle of a graph: its inputs are computed and used elsewhere too, its result is used twice."""
    generator = torch.Generator().manual_seed(11)
    leaves = [
        (torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 0.7).to(dtype).requires_grad_()
        for shape in function.shapes
    ]

    def network(*leaves: Tensor) -> Tensor:
        inputs = [torch.tanh(leaf) + 0.3 * leaf for leaf in leaves]
        y = run(*inputs)
        beside = sum((one * one).sum() for one in inputs)
        return (torch.sin(y) * 1.5 + y.pow(2)).sum() + beside.log()

    return gradviz.trace(network, *leaves)


def custom_edges(graph: gradviz.GradGraph) -> dict[int, Edge]:
    """Argument position -> edge into the custom Function."""
    head = next(node for node, attributes in graph.nodes(data=True) if attributes["inner_calls"])
    return {use.edge[2]: use.edge for use in graph.arguments_of(head) if use.partial is not None}


def mismatched(report: CheckReport) -> list[Edge]:
    return [entry.edge for entry in report.mismatches if isinstance(entry, EdgeCheck)]


def test_there_are_at_least_forty_slips() -> None:
    assert len(SLIPS) >= 40
    assert {slip.function for slip in SLIPS.values()} == set(FUNCTIONS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_without_a_slip_everything_matches(name: str, dtype: torch.dtype) -> None:
    report = traced(FUNCTIONS[name], planted(FUNCTIONS[name]), dtype).check()
    assert report.verified, report


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_found_at_exactly_its_edge(name: str) -> None:
    slip = SLIPS[name]
    function = FUNCTIONS[slip.function]
    graph = traced(function, planted(function, slip.argument, slip.wrong), slip.dtype)
    report = graph.check()
    guilty = custom_edges(graph)[slip.argument]
    assert mismatched(report) == [guilty], report
    assert all(entry.verdict == "match" for entry in (*report.nodes, *report.sums)), report
    entry = report.edge(guilty)
    assert slip.said in entry.reason, entry.reason
    assert entry.finding == "wrong"
    assert entry.source.startswith("test_planted_slips.py")


class Stale(torch.autograd.Function):
    """y = x², with the x of the backward changed in place after it was kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.kept = x.detach().clone()
        y = x * x
        ctx.kept.mul_(1.5)
        return y

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        return 2 * cotangent * ctx.kept


class SecondOutput(torch.autograd.Function):
    """(sin x, cos x), of which the second output's part is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Any:
        ctx.save_for_backward(x)
        return x.sin(), x.cos()

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return cotangents[0] * x.cos() + cotangents[1] * x.sin()


class SmallCotangents(torch.autograd.Function):
    """3 x, whose backward drops small cotangents."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 3

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        return 3 * torch.where(cotangent.abs() < 0.6, 0, cotangent)


class Detached(torch.autograd.Function):
    """x tanh(x), in whose backward the tanh counts as a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return cotangent * torch.tanh(x)


class InPlace(torch.autograd.Function):
    """2 x, whose backward is right but writes to the cotangent that it is handed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        return cotangent.mul_(2)


def of_both(x: Tensor) -> Tensor:
    sine, cosine = SecondOutput.apply(x)
    return sine * 2 + cosine * cosine


@pytest.mark.parametrize("run", [Stale.apply, of_both, SmallCotangents.apply, Detached.apply, InPlace.apply])
def test_a_slip_of_another_kind_is_found_at_exactly_its_edge(run: Callable[[Tensor], Tensor]) -> None:
    function = Function(forward=torch.clone, backward=lambda c: (c,), shapes=((3, 4),))
    graph = traced(function, run, torch.float64)
    assert mismatched(graph.check()) == [custom_edges(graph)[0]]


def test_a_backward_that_writes_to_its_cotangent_is_told_so() -> None:
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    report = gradviz.trace(lambda x: InPlace.apply(x).square().sum(), x).check()
    edge = next(entry for entry in report.mismatches if isinstance(entry, EdgeCheck))
    assert edge.reason.startswith("backward() changes the cotangent that it is handed in place")


def test_a_value_kept_and_changed_in_place_is_off_by_a_constant_factor() -> None:
    function = Function(forward=torch.clone, backward=lambda c: (c,), shapes=((3, 4),))
    graph = traced(function, Stale.apply, torch.float64)
    assert "autograd's is 1.5 times the true derivative everywhere" in graph.check().edge(custom_edges(graph)[0]).reason
