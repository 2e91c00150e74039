"""The report as a value: selection, determinism, JSON, names."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport, EdgeCheck, LeafCheck
from gradviz.check.table import report_text


def large_graph() -> gradviz.GradGraph:
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.rand(shape, generator=generator).requires_grad_() for shape in ((30, 40), (40, 30)))
    return gradviz.trace(lambda x, w: torch.log_softmax(torch.mm(x, w).tanh(), -1).pow(2).mean(), x, w)


def test_the_same_seed_gives_the_same_report() -> None:
    graph = large_graph()
    assert graph.check(seed=3) == graph.check(seed=3)
    assert graph.check(seed=3).to_dict() == large_graph().check(seed=3).to_dict()


def test_another_seed_looks_at_other_rows() -> None:
    graph = large_graph()
    assert graph.check(seed=3).to_dict()["edges"] != graph.check(seed=4).to_dict()["edges"]


def test_large_jacobians_are_sampled_and_the_report_says_so() -> None:
    report = large_graph().check(samples=5)
    entry = report.edges[0]
    assert entry.verdict == "match"
    assert (entry.checked, entry.total) == (5 * 1200, 900 * 1200)
    assert "probed by differences" in entry.how
    assert "6000 of 1080000" in report_text(report, 200)


def test_a_check_leaves_random_numbers_and_gradients_alone() -> None:
    graph = large_graph()
    state = torch.get_rng_state()
    graph.check()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_choice_of_edges_checks_these_and_their_heads_values() -> None:
    graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    chosen = list(graph.differentiable_edges())[:2]
    report = graph.check(edges=chosen)
    assert [entry.edge for entry in report.edges] == chosen
    assert [entry.node for entry in report.nodes] == [chosen[0][1]]
    assert report.leaves == () and report.sums == ()


def test_a_choice_of_edges_gives_the_entries_of_the_whole_check() -> None:
    graph = large_graph()
    for entry in graph.check().edges:
        alone = graph.check(edges=[entry.edge]).edge(entry.edge)
        # what the joint probe of a head would have noticed depends on how many edges share its random numbers
        assert replace(alone, noticed=None) == replace(entry, noticed=None)


def test_to_dict_is_json_with_the_documented_keys() -> None:
    report = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").check()
    read = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    entries = ["edges", "nodes", "leaves", "sums"]
    assert list(read) == ["ok", "verified", "summary", "seed", "remarks", "nan_gradients", *entries]
    assert read["edges"][0]["edge"] == list(report.edges[0].edge)
    assert read["leaves"][1]["formula"] == "x"
    documented = CheckReport.to_dict.__doc__
    assert documented is not None
    for name in ("nan_gradients", *entries):
        assert f"`{name}`" in documented
    for name in entries:
        assert all(f"`{key}`" in documented for key in read[name][0])


def test_numbers_that_are_not_finite_stay_json() -> None:
    entry = LeafCheck(name="x", verdict="match", node=0, autograd=float("nan"), reference=float("inf"))
    assert json.loads(json.dumps(entry.to_dict(), allow_nan=False))["reference"] == "inf"


def test_two_uses_of_one_value_are_told_apart_by_their_argument() -> None:
    report = gradviz.trace("x*x", x=3.0, device="cpu").check()
    assert [entry.name for entry in report.edges] == ["∂a/∂x (self)", "∂a/∂x (other)"]


def test_an_edge_that_was_not_checked_has_no_entry() -> None:
    report = gradviz.trace("x*y", x=3.0, y=2.0, device="cpu").check()
    with pytest.raises(KeyError):
        report.edge((7, 8, 9))


def test_a_graph_of_many_leaf_elements_has_no_composed_gradients() -> None:
    x = torch.arange(13.0, requires_grad=True)
    assert gradviz.trace(lambda x: x.sin().sum(), x).check().leaves == ()


def test_unverified_entries_are_neither_ok_nor_wrong() -> None:
    edge = EdgeCheck(name="e", verdict="unverified", edge=(0, 1, 0), reason="why")
    report = CheckReport(edges=(edge,))
    assert report.ok and not report.verified
    assert report.summary == "1 edge: 1 unverified. Unverified: why (1)."


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_coarse_dtypes_match_within_their_own_rounding(dtype: torch.dtype) -> None:
    x = torch.linspace(0.3, 0.9, 9, dtype=dtype).reshape(3, 3).requires_grad_()
    report = gradviz.trace(lambda x: (torch.softmax(x @ x, 0) * x.exp()).sum(), x).check()
    assert report.ok, report
    assert {entry.verdict for entry in report.edges} == {"match"}
    assert max(entry.error_ulp for entry in report.edges) > 0


def test_several_outputs_of_one_call_are_told_apart() -> None:
    x = torch.tensor([[3.0, 1.0, 2.0], [0.5, 4.0, 1.5]], dtype=torch.float64, requires_grad=True)

    def network(x: Tensor) -> Tensor:
        q, k, v = x.split(1, dim=1)
        values, _ = x.max(1)
        return (q * k).sum() + v.exp().sum() + values.prod()

    report = gradviz.trace(network, x).check()
    assert report.verified, report
