"""What is on the picture of a graph, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import pytest
import sample_graphs as samples
import sympy
import torch

from gradviz import trace
from gradviz.errors import InputError
from gradviz.view import View, ViewEdge, ViewNode, view_of


def node_named(view: View, name: str) -> ViewNode:
    return next(node for node in view.nodes if node.name == name)


def names(view: View) -> set[str]:
    return {node.name for node in view.nodes}


def edge_between(view: View, tail: str, head: str) -> ViewEdge:
    names = {node.id: node.name for node in view.nodes}
    return next(edge for edge in view.edges if (names[edge.tail], names[edge.head]) == (tail, head))


def test_a_node_says_name_function_value_and_cotangent() -> None:
    view = view_of(samples.product_plus_sine())
    assert (node_named(view, "x").value, node_named(view, "x").cotangent) == (("2",), "∂d/∂x = 6.142")
    a = node_named(view, "a")
    assert (a.call, a.value, a.cotangent) == ("x·y", ("6",), "∂d/∂a = 1")


def test_an_edge_says_formula_and_number() -> None:
    view = view_of(samples.product_plus_sine())
    assert edge_between(view, "x", "a").text == "∂a/∂x = y = 3"
    assert edge_between(view, "x", "b").text == "∂b/∂x = π = 3.142"
    assert edge_between(view, "a", "d").text == "∂d/∂a = 1"


def test_roles_are_told_apart() -> None:
    view = view_of(samples.product_plus_sine())
    roles = {node.name: node.role for node in view.nodes}
    assert roles == {"x": "leaf", "y": "leaf", "a": "op", "pi": "constant", "b": "op", "c": "op", "d": "output"}


def test_a_verdict_stands_on_its_edge_only() -> None:
    graph = samples.product_plus_sine()
    view = view_of(graph, report=samples.report_with(graph, mismatch=2))
    assert [edge.verdict for edge in view.edges if edge.cut == ""].count("mismatch") == 1
    assert [edge.verdict for edge in view.edges if edge.cut] == [None]


def test_a_mismatch_of_a_forward_value_marks_the_node() -> None:
    graph = samples.product_plus_sine()
    wrong = (samples.SketchCheckedNode(node=2, verdict="mismatch"), samples.SketchCheckedNode(node=5, verdict="match"))
    right = (samples.SketchCheckedNode(node=0, verdict="match"),)
    view = view_of(graph, report=replace(samples.report_with(graph), nodes=wrong, leaves=right))
    assert {node.name: node.verdict for node in view.nodes if node.verdict} == {"a": "mismatch", "x": "match"}


def test_a_value_that_is_nan_is_marked_as_unverified() -> None:
    graph = trace("log(x - 9)", x=2.0, device="cpu")
    view = view_of(graph, report=graph.check())
    assert {node.name: node.verdict for node in view.nodes if node.verdict} == {"b": "unverified", "x": "match"}


def test_other_values_that_nothing_could_be_compared_with_have_no_mark() -> None:
    graph = samples.product_plus_sine()
    unknown = (samples.SketchCheckedNode(node=2, verdict="unverified"),)
    view = view_of(graph, report=replace(samples.report_with(graph), nodes=unknown, leaves=()))
    assert not any(node.verdict for node in view.nodes)


class WrongCube(torch.autograd.Function):
    """x**3 whose derivative is 0.01 % too large."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, cotangent: torch.Tensor) -> torch.Tensor:
        return cotangent * 3.0003 * ctx.saved_tensors[0] ** 2


def test_a_mismatch_says_the_true_number_with_enough_digits() -> None:
    x = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    graph = trace(lambda x: WrongCube.apply(x).sin(), x)
    wrong = edge_between(view_of(graph, report=graph.check()), "x", "a")
    assert (wrong.verdict, wrong.correction) == ("mismatch", "autograd 12.001, true 12")


def test_a_cut_edge_says_why_and_its_node_has_no_gradient() -> None:
    view = view_of(samples.cut_product())
    assert edge_between(view, "square", "frozen").cut == "detach"
    assert node_named(view, "square").cotangent == "no gradient"
    assert not node_named(view, "frozen").differentiable


def test_two_uses_in_one_call_make_two_edges() -> None:
    view = view_of(samples.cut_product())
    uses = [edge for edge in view.edges if edge.head == node_named(view, "square").id]
    assert len(uses) == len({edge.id for edge in uses}) == 2


def test_a_tensor_edge_says_the_shape_of_its_jacobian() -> None:
    view = view_of(samples.two_layer_net())
    assert edge_between(view, "h", "b").text == "∂b/∂h: [8, 16]×[8, 16]"
    assert node_named(view, "h").heat is not None


def test_an_edge_that_moves_elements_says_how_instead_of_the_derivative_of_one() -> None:
    def moved(matrix: torch.Tensor) -> torch.Tensor:
        turned = matrix.t()
        row = turned[0]
        return row.reshape(1, 3).sum()

    graph = trace(moved, torch.ones(3, 2, requires_grad=True))
    for report in (None, graph.check()):
        view = view_of(graph, report=report)
        assert edge_between(view, "matrix", "turned").text == "∂turned/∂matrix: transpose"
        assert edge_between(view, "turned", "row").text == "∂row/∂turned: selection"
        assert [edge.text for edge in view.edges][2:] == ["∂a/∂row: reshape", "∂b/∂a = 1"]


def test_a_single_number_that_is_moved_has_a_derivative() -> None:
    view = view_of(trace(lambda x: x.reshape(1), torch.tensor(2.0, requires_grad=True)))
    assert [edge.text for edge in view.edges] == ["∂a/∂x = 1"]


def test_elements_that_are_written_out_need_no_heat_map() -> None:
    graph = trace(lambda x: (x * 2).sum(), torch.tensor([1.0, 2.0, 3.0], requires_grad=True))
    written, bare = view_of(graph), view_of(graph, show=["heat"])
    assert node_named(written, "x").value == ("float32 [3]", "[1, 2, 3]") and node_named(written, "x").heat is None
    assert node_named(bare, "x").heat is not None


def test_a_freed_partial_leaves_the_formula() -> None:
    sketch = samples.Sketch()
    x = sketch.leaf("x", 1.0)
    partial = samples.SketchPartial(formula=sympy.Symbol("x") * 2)
    view = view_of(sketch.finished(sketch.op("y", "square", 1.0, (x, partial))))
    assert view.edges[0].text == "∂y/∂x = 2·x"


def test_parts_that_are_not_asked_for_are_not_shown() -> None:
    view = view_of(samples.product_plus_sine(), show=["number"])
    assert node_named(view, "a") == ViewNode(id="node_2", node=2, role="op", name="a")
    assert edge_between(view, "x", "a").text == "∂a/∂x = 3"


def test_contributions_are_shown_on_request() -> None:
    view = view_of(samples.product_plus_sine(), show=["contribution"])
    assert edge_between(view, "x", "b").contribution == "contribution = 3.142"


def test_a_value_that_is_not_known_says_why() -> None:
    graph = samples.product_plus_sine()
    graph.nodes[2].update(value=None, value_missing="nobody saved it")
    assert node_named(view_of(graph), "a").value == ("value unknown: nobody saved it",)


def test_cotangents_of_a_seed_other_than_one_are_no_derivatives() -> None:
    graph = samples.product_plus_sine()
    graph.nodes[6]["cotangent"] = torch.tensor(2.0)
    assert node_named(view_of(graph), "d").cotangent == "cotangent = 2"


@pytest.mark.parametrize(("budget", "first"), [(1, 0), (7, 0), (40, 10)])
def test_over_the_budget_the_nodes_nearest_to_the_output_and_the_first_ones_stay(budget: int, first: int) -> None:
    view = view_of(samples.chain(1240), max_nodes=budget)
    near = budget - first
    assert [node.node for node in view.nodes] == [*range(first), *range(1240 - near, 1240)]
    said = f" and the first {first}" if first else ""
    assert view.notes[0] == f"showing {budget} of 1,240 nodes: those nearest to the output{said}"


def test_a_gap_says_how_many_nodes_are_left_out_between_which() -> None:
    view = view_of(samples.chain(602))
    assert len(view.nodes) == 200 and node_named(view, "x").role == "leaf"
    (gap,) = view.gaps
    assert (gap.text, gap.tails, gap.heads) == ("⋯ 402 nodes not shown", ("node_49",), ("node_452",))
    assert view_of(samples.chain(20)).gaps == ()


def test_a_gap_counts_the_leaves_in_it() -> None:
    graph = samples.layered(40)
    view = view_of(graph, max_nodes=50)
    alone = sum(node.hidden_inputs for node in view.nodes)
    assert sum(gap.nodes for gap in view.gaps) + alone == len(graph) - len({node.node for node in view.nodes})
    assert 40 < len(view.nodes) <= 50
    assert sum(gap.leaves for gap in view.gaps) + alone == sum(
        f"block{block}.weight" not in names(view) for block in range(40)
    )
    assert all({*gap.tails, *gap.heads} <= {node.id for node in view.nodes} for gap in view.gaps)
    assert view.gaps[0].text.endswith("of them leaves")


def test_a_leaf_that_is_left_out_alone_is_counted_where_it_is_read() -> None:
    sketch = samples.Sketch()
    leaves = [sketch.leaf(f"x{place}", 1.0) for place in range(6)]
    total = sketch.op("total", "stack", 6.0, *((leaf, (1, 1.0)) for leaf in leaves))
    view = view_of(sketch.finished(total), max_nodes=4)
    assert view.gaps == ()
    assert node_named(view, "total").hidden_inputs == 3


def test_edge_labels_go_when_there_are_too_many_but_a_mismatch_keeps_its_own() -> None:
    graph = samples.chain(30)
    view = view_of(graph, max_edge_labels=5, report=samples.report_with(graph, mismatch=3))
    assert [edge.edge for edge in view.edges if edge.text] == [(3, 4, 0)]
    assert "edge labels left out: there are 29 edges" in view.notes


def test_a_constant_is_drawn_once_per_use() -> None:
    view = view_of(samples.layered(5))
    masks = [node for node in view.nodes if node.name == "mask"]
    assert len(masks) == len({node.id for node in masks}) == 5
    assert len({edge.tail for edge in view.edges if edge.cut == "constant"}) == 5


def test_a_shared_leaf_is_drawn_once_per_use_only_when_used_everywhere() -> None:
    few, many = view_of(samples.chain(20, fan=10)), view_of(samples.chain(60, fan=5))
    assert sum(node.name == "x" for node in few.nodes) == 1
    assert sum(node.name == "x" for node in many.nodes) > 8
    assert "drawn once per use: x" in many.notes


def test_every_edge_joins_two_shown_nodes() -> None:
    for view in (view_of(samples.layered(40), max_nodes=50), view_of(samples.chain(60, fan=5))):
        ids = [node.id for node in view.nodes]
        assert len(ids) == len(set(ids))
        assert {edge.tail for edge in view.edges} | {edge.head for edge in view.edges} <= set(ids)


def test_a_deep_graph_stands_upright_unless_told_otherwise() -> None:
    assert view_of(samples.tanh_of_log()).direction == "LR"
    assert view_of(samples.chain(40)).direction == "BT"
    assert view_of(samples.chain(40), direction="LR").direction == "LR"
    assert view_of(samples.chain(40), max_nodes=8).direction == "BT"


def test_a_long_chain_needs_no_recursion() -> None:
    assert len(view_of(samples.chain(20_000), max_nodes=10).nodes) == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "TB"}, "unknown direction 'TB'; accepted: LR, BT"),
        ({"theme": "neon"}, "unknown theme 'neon'; accepted: light, dark, slides"),
        ({"show": ["values"]}, "unknown part 'values' in show; accepted: call, contribution, cotangent"),
        ({"show": 5}, "show is 5; accepted: call, contribution, cotangent"),
        ({"max_nodes": 0}, "max_nodes is 0"),
        ({"max_nodes": "40"}, "max_nodes is '40'; accepted: 1 or more"),
        ({"max_edge_labels": -1}, "max_edge_labels is -1"),
        ({"max_edge_labels": None}, "max_edge_labels is None; accepted: 0 or more"),
        ({"collapse": 0}, "collapse is 0; accepted: 1 or more levels, a name"),
        ({"collapse": None}, "collapse is None; accepted: 1 or more levels, a name"),
        ({"unfold": 3}, "unfold is 3; accepted: a name or a pattern, or several"),
        ({"fold": [3]}, r"fold is \[3\]; accepted: a name or a pattern, or several"),
        ({"report": nx.MultiDiGraph()}, r"report is a MultiDiGraph; accepted: what check\(\) returns"),
        ({"findings": 3}, r"findings is a int; accepted: what diagnose\(\) returns, or several of its findings"),
        ({"findings": ["detached"]}, "findings holds a str; accepted: what diagnose"),
    ],
)
def test_an_option_that_is_not_accepted_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        view_of(nx.MultiDiGraph(), **options)  # type: ignore[arg-type]


def test_no_findings_may_be_none_and_a_part_may_be_given_alone() -> None:
    graph = trace("log(x*y)", x=2.0, y=3.0, device="cpu")
    assert graph.view(findings=None) == graph.view()
    assert graph.view(show="value") == graph.view(show=["value"])


def test_a_traced_expression_shows_numbers_that_multiply_to_its_gradient() -> None:
    view = view_of(trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu"))
    assert {edge.text for edge in view.edges} >= {"∂a/∂x = y = 3", "∂b/∂x = π = 3.142", "∂c/∂b = cos(b) = 1"}
    assert node_named(view, "x").cotangent == "∂d/∂x = 6.142"


def test_several_outputs_of_one_call_have_names_of_their_own() -> None:
    def split_sum(x: torch.Tensor) -> torch.Tensor:
        first, second = x.split(2)
        return first.sum() * second.max()

    view = view_of(trace(split_sum, torch.arange(4.0, requires_grad=True)))
    both = node_named(view, "first, second")
    assert both.value == ("first: float32 [2]", "second: float32 [2]")
    assert {node.call for node in view.nodes} >= {"split(x, 2)", "Σ(first)", "max(second)"}
    assert edge_between(view, "x", "first, second").text.startswith("∂first/∂x")


def test_a_checked_trace_has_a_verdict_on_every_differentiable_edge() -> None:
    graph = trace("tanh(log(1 + z*2*x/sin(y)))", x=1.0, y=1.0, z=0.5, device="cpu")
    view = view_of(graph, report=graph.check())
    assert {edge.verdict for edge in view.edges} == {"match"}
    assert {node.verdict for node in view.nodes if node.role == "leaf"} == {"match"}
