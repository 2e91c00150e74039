"""What cannot be verified says why, is counted by itself, and never counts as passed."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.errors import CheckError
from gradviz.symbolic import RULES

aten = torch.ops.aten


def test_an_op_without_rule_is_verified_by_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, aten.tanh.default)
    graph = gradviz.trace("tanh(x) * x", x=0.5, device="cpu")
    report = graph.check()
    assert report.ok and not report.verified
    tanh = next(entry for entry in report.edges if graph.nodes[entry.edge[1]]["op"] == "tanh")
    assert (tanh.verdict, tanh.method) == ("match", "numeric")
    assert "no symbolic rule for aten.tanh.default" in tanh.how
    assert tanh.reference == pytest.approx(1 - torch.tanh(torch.tensor(0.5)).item() ** 2, rel=1e-7)


def test_a_forward_value_without_rule_is_unverified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, aten.tanh.default)
    report = gradviz.trace("tanh(x) * x", x=0.5, device="cpu").check()
    assert [entry.verdict for entry in report.nodes] == ["unverified", "match"]
    assert report.nodes[0].reason.startswith("no symbolic rule for aten.tanh.default")
    assert "2 values: 1 match, 1 unverified." in report.summary
    assert "Unverified: no symbolic rule for aten.tanh.default" in report.summary


def test_without_rule_and_without_accurate_differences_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, aten.round.default)
    x = torch.tensor([0.2, 0.4999, 3.7], dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x: torch.round(x).sum(), x).check()
    entry = report.edges[0]
    assert entry.verdict == "unverified"
    assert "differences are not accurate" in entry.reason


def test_a_function_that_leaves_torch_and_cannot_run_again_is_unverified() -> None:
    runs = iter([1])

    class ThroughNumpy(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            next(runs)
            return torch.from_numpy(x.detach().numpy() * 2)

        @staticmethod
        def backward(ctx: object, cotangent: Tensor) -> Tensor:
            return cotangent * 2

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    report = gradviz.trace(lambda x: ThroughNumpy.apply(x).sum(), x).check()
    assert report.ok and not report.verified
    assert report.edges[0].verdict == "unverified"
    assert "forward() cannot be run again: StopIteration" in report.edges[0].reason


def test_a_function_traced_after_it_ran_is_unverified() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: object, cotangent: Tensor) -> Tensor:
            return cotangent * 2

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    report = gradviz.trace(Double.apply(x).sum()).check()
    entry = report.edges[0]
    assert entry.verdict == "unverified"
    assert "not recorded" in entry.reason


@pytest.mark.parametrize(
    ("refusal", "told"),
    [(AssertionError(), "AssertionError without a message"), (ValueError("float32?"), "float32?"), (KeyError(8), "8")],
)
def test_an_op_of_the_user_s_own_that_refuses_float64_is_unverified_in_words(refusal: Exception, told: str) -> None:
    @torch.library.custom_op("gradviz_refusing::squared", mutates_args=())
    def squared(x: Tensor) -> Tensor:
        if x.dtype is not torch.float32:
            raise refusal
        return x * x

    squared.register_autograd(
        lambda ctx, cotangent: 2 * ctx.saved_tensors[0] * cotangent,
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
    )
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    edge, *_ = gradviz.trace(lambda x: squared(x).sum(), x, device="cpu").check().edges
    assert edge.verdict == "unverified"
    assert edge.reason.endswith(f"; gradviz_refusing.squared.default cannot be run in float64: {told}")


def test_when_time_is_up_the_rest_is_unverified() -> None:
    report = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").check(time_limit_s=0.0)
    whole = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").check()
    for kind in ("edges", "nodes", "leaves", "sums"):
        entries = getattr(report, kind)
        assert {(entry.verdict, entry.reason) for entry in entries} == {("unverified", "out of time")}
        assert [entry.name for entry in entries] == [entry.name for entry in getattr(whole, kind)]
    assert [entry.contributions for entry in report.sums] == [entry.contributions for entry in whole.sums]
    assert report.ok and not report.verified
    assert "6 unverified" in report.summary


def test_of_what_is_not_reached_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> None:
        raise RuntimeError("looked at")

    x = torch.tensor([0.5, 2.0], requires_grad=True)
    graph = gradviz.trace(lambda x: (Squared.apply(x) * x).sum(), x, device="cpu")
    for part in ("head_under_check", "edge_formula", "check_value", "check_sum", "check_leaves"):
        monkeypatch.setattr(f"gradviz.check.run.{part}", refused)
    report = graph.check(time_limit_s=0.0, intended=[Squared])
    assert [edge.verdict for edge in report.edges] == ["intended", "unverified", "unverified", "unverified"]
    assert {entry.reason for entry in report.sums} == {"out of time"}


def test_time_may_be_up_in_the_middle_of_a_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.tensor([0.5, 2.0], requires_grad=True)
    graph = gradviz.trace(lambda x: (x * x.sin()).sum(), x, device="cpu")
    monkeypatch.setattr("gradviz.symbolic.deadline.time", SimpleNamespace(monotonic=lambda: float("1e12")))
    sums = {entry.name: entry for entry in graph.check(time_limit_s=60.0).sums}  # what asks for no time has plenty
    assert sums["x"].reason == "out of time" and sums["x"].contributions == 2
    assert {entry.verdict for name, entry in sums.items() if name != "x"} == {"match"}


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent * 2 * ctx.saved_tensors[0]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.softmax(x, 0),
        lambda x: Squared.apply(x).cumsum(0),
        lambda x: torch.linalg.vander(x[:6]) @ torch.ones(6),
        lambda x: torch.linalg.inv(torch.diag(x)),
    ],
    ids=["rows", "custom", "product", "numeric"],
)
def test_time_may_be_up_in_the_middle_of_one_part(
    function: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = gradviz.trace(lambda x: function(x).sum(), torch.linspace(0.5, 1.5, 60).requires_grad_())
    clock = itertools.count(time.monotonic())
    monkeypatch.setattr("gradviz.symbolic.deadline.time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    report = graph.check(time_limit_s=30.0)  # as counted by what asks for the time
    late = [entry for entry in report.edges if entry.verdict == "unverified"]
    assert late and {entry.reason for entry in late} == {"out of time"} and report.ok
    monkeypatch.undo()
    assert not [entry for entry in graph.check(time_limit_s=1e6).edges if entry.verdict == "unverified"]


def test_a_freed_graph_is_unverified() -> None:
    x = torch.tensor(0.5, requires_grad=True)
    out = torch.tanh(x) * x
    graph = gradviz.trace(out)
    out.backward()
    report = graph.check()
    assert report.ok and not report.verified
    assert any("freed" in entry.reason for entry in report.edges)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"edges": [(0, 99, 0)]}, r"no edge \(0, 99, 0\)"),
        ({"samples": 0}, "samples=0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    graph = gradviz.trace("x*y", x=2.0, y=3.0, device="cpu")
    with pytest.raises(CheckError, match=message):
        graph.check(**options)


def test_an_edge_along_which_no_gradient_flows_is_refused() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    graph = gradviz.trace(lambda x: x * x.detach(), x)
    cut = next(edge for edge in graph.edges(keys=True) if graph.edges[edge]["partial"] is None)
    with pytest.raises(CheckError, match="no gradient flows along edge"):
        graph.check(edges=[cut])


def test_a_cut_path_is_no_mismatch_of_the_whole_gradient() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    report = gradviz.trace(lambda x: x * (x * x).detach(), x).check()
    assert report.verified, report
    assert report.leaves[0].reference == 4.0


@pytest.mark.parametrize("place", [0, 1])
def test_writes_to_a_list_of_tensors_are_unverified_in_words(place: int) -> None:
    def loss(x: Tensor) -> Tensor:
        both = [x * 2, x * 3]
        torch._foreach_mul_(both, torch.tensor(2.0))
        return both[place].sum()

    report = gradviz.trace(loss, torch.rand(2, requires_grad=True)).check()
    assert report.ok and "writes to tensors of a list" in report.edges[1].reason, report


@pytest.mark.parametrize("function", [torch.i0, torch.special.i1, torch.special.i0e, torch.special.i1e])
@pytest.mark.parametrize("count", [3, 9])
def test_bessel_functions_have_values_at_infinity(function: Callable[[Tensor], Tensor], count: int) -> None:
    x = torch.tensor(([1.0, math.inf, -math.inf] * count)[:count], requires_grad=True)
    report = gradviz.trace(lambda x: function(x).sum(), x).check()
    assert not report.mismatches, report
    assert not any("itself failed" in entry.reason for entry in (*report.edges, *report.nodes, *report.leaves)), report
