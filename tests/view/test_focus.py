"""Pictures of a part of a graph: around a node, a finding or a path, or between two nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pytest
import sample_graphs as samples
import torch
from torch import Tensor, nn

from gradviz import trace
from gradviz.diagnose import Finding
from gradviz.errors import InputError
from gradviz.render import svg_text
from gradviz.view import View, view_of


def names(view: View) -> set[str]:
    return {node.name for node in view.nodes}


def plain_arrows(root: ElementTree.Element) -> list[ElementTree.Element]:
    return root.findall(".//{*}g[@class='edge']/{*}path")


def numbers(view: View) -> set[int]:
    return {node.node for node in view.nodes}


def test_a_node_is_shown_with_what_is_three_edges_around_it() -> None:
    view = view_of(samples.chain(100), focus="v50")
    assert names(view) == {f"v{place}" for place in range(47, 54)}
    assert view.notes[0] == "only v50 and what is around, 3 edges far: 7 of 100 nodes"


def test_the_radius_says_how_far() -> None:
    assert names(view_of(samples.chain(100), focus="v50", radius=1)) == {"v49", "v50", "v51"}
    assert names(view_of(samples.chain(100), focus=50, radius=0)) == {"v50"}


def test_one_side_reaches_to_the_end() -> None:
    graph = samples.layered(6)
    node = next(number for number, name in graph.nodes(data="name") if name == "active2")
    before = view_of(graph, focus="active2", side="before")
    after = view_of(graph, focus="active2", side="after", collapse="none")
    assert numbers(before) == nx.ancestors(graph, node) | {node}
    assert numbers(after) == nx.descendants(graph, node) | {node}
    assert view_of(graph, focus="active2", side="after", radius=1).notes[0].startswith(
        "only active2 and what comes of it, 1 edge far: 2 of"
    )


def test_a_use_does_not_lead_on_to_other_users_of_the_same_value() -> None:
    view = view_of(samples.layered(6), focus="masked3", radius=1)
    assert names(view) == {"left3", "mask", "masked3", "active3"}


def test_inputs_out_of_focus_are_counted_where_they_are_read() -> None:
    view = view_of(samples.layered(6), focus="masked3", side="after", radius=1)
    assert {node.name: node.hidden_inputs for node in view.nodes} == {"masked3": 2, "active3": 0}


def test_the_paths_between_two_nodes() -> None:
    graph = samples.product_plus_sine()
    assert names(view_of(graph, between=("x", "c"))) == {"x", "b", "c"}
    assert names(view_of(graph, between=("y", "d"))) == {"y", "a", "d"}
    with pytest.raises(InputError, match="no path leads from 'd' to 'x'"):
        view_of(graph, between=("d", "x"))


def test_a_path_and_the_largest_paths_of_a_leaf() -> None:
    graph = trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    paths = graph.paths("x", top=2)
    assert numbers(graph.view(focus=paths.top[0])) == set(paths.top[0].nodes)
    both = graph.view(focus=paths)
    assert numbers(both) == {node for path in paths.top for node in path.nodes}
    assert both.notes[0] == "only the 2 largest paths from x: 5 of 6 nodes"
    assert graph.view(focus=graph.paths("y")).notes[0] == "only the largest path from y: 3 of 6 nodes"
    assert numbers(graph.view(focus=[paths.top[1], "y"], radius=0)) == {*paths.top[1].nodes, graph.node("y")}


def test_a_finding_is_shown_with_what_is_around() -> None:
    graph = trace("log(x - x) * y", x=2.0, y=3.0, device="cpu")
    finding = graph.diagnose()[0]
    view = graph.view(focus=finding, findings=[finding])
    assert finding.node in numbers(view)
    assert [node.trouble for node in view.nodes if node.node == finding.node] == [
        (f"{finding.severity}: {finding.kind} at {finding.source}",)
    ]
    assert finding.source.startswith("test_focus.py:")


def test_a_finding_in_focus_marks_its_node_by_itself() -> None:
    graph = trace("log(x - x) * y", x=2.0, y=3.0, device="cpu")
    finding = graph.diagnose()[0]
    badge = f"{finding.severity}: {finding.kind} at {finding.source}"
    assert graph.view(focus=finding).nodes == graph.view(focus=finding, findings=[finding]).nodes
    assert [node.trouble for node in graph.view(focus=finding).nodes if node.node == finding.node] == [(badge,)]


def test_a_node_says_of_each_finding_the_line_that_the_finding_names_worst_first() -> None:
    graph = trace("log(x - x) * y", x=2.0, y=3.0, device="cpu")
    node = graph.node("y")
    hint = Finding(kind="slow", severity="hint", message="m", hint="h", node=node, source="make.py:67")
    bad, odd = (
        Finding(kind=kind, severity="error", message="m", hint="h", node=node, source="make.py:61")
        for kind in ("bad", "odd")
    )
    (marked,) = [shape for shape in graph.view(findings=[hint, bad, odd]).nodes if shape.trouble]
    assert marked.trouble == ("error: bad", "error: odd at make.py:61", "hint: slow at make.py:67")


class Tripled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return 3 * cotangent


def test_a_wrong_backward_is_told_on_the_line_that_its_finding_names() -> None:
    graph = trace(lambda x: Tripled.apply(x).sum(), torch.arange(3.0, requires_grad=True))
    (finding,) = [finding for finding in graph.diagnose() if finding.kind == "wrong-backward"]
    lines = [line for node in graph.view(findings=[finding]).nodes for line in node.trouble]
    assert lines == [f"error: wrong-backward at {finding.source}"]
    applied = {attributes["source"] for _, attributes in graph.nodes(data=True)}
    assert finding.source.startswith("test_focus.py:") and finding.source not in applied


@pytest.mark.parametrize("place", [{"edge": (99, 100, 0)}, {"edge": (0, 1, 5)}, {"node": 99}])
def test_a_finding_of_another_graph_is_refused_as_focus(place: Mapping[str, Any]) -> None:
    graph = trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    finding = Finding(kind="wrong-backward", severity="error", message="m", hint="h", **place)
    with pytest.raises(InputError, match=r"the finding 'wrong-backward' is about .*, which is not in the graph"):
        graph.view(focus=finding)


def test_a_finding_about_an_edge_marks_that_edge() -> None:
    graph = samples.network(20)
    edge = next((tail, head, key) for tail, head, key in graph.edges(keys=True) if graph.nodes[head]["name"] == "product15")
    finding = Finding(kind="wrong-backward", severity="error", message="m", hint="h", edge=edge)
    for view in (view_of(graph, focus=finding), view_of(graph, findings=[finding], unfold="h.15.mlp")):
        assert [marked.edge for marked in view.edges if marked.trouble == ("error: wrong-backward",)] == [edge]
        assert [node.name for node in view.nodes if node.trouble] == ["product15"]
    root = ElementTree.fromstring(svg_text(view_of(graph, focus=finding)))
    (drawn,) = root.findall(".//{*}g[@class='edge trouble']")
    strong, plain = (float(path.get("stroke-width", "1")) for path in (*drawn.iterfind("{*}path"), *plain_arrows(root)[:1]))
    assert strong > 1.5 * plain
    assert "error: wrong-backward" in "".join(drawn.itertext())


def test_derivatives_keep_the_name_of_the_whole_graphs_output() -> None:
    graph = samples.product_plus_sine()
    view = view_of(graph, focus="b", radius=1)
    assert [node.cotangent for node in view.nodes if node.name == "b"] == ["∂d/∂b = 1"]
    assert view.title.startswith("computational graph of d: ")


def test_a_large_part_is_drawn_in_groups() -> None:
    view = view_of(samples.network(20), focus="product15", side="before")
    assert [(group.name, group.count) for group in view.groups] == [("h.0 … 14", 15)]
    assert names(view) == {"x", "scaled15", "h.15.mlp.weight", "product15"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"focus": "nobody"}, "no node called 'nobody'; its nodes are called x, y, a"),
        ({"focus": "b", "side": "left"}, "unknown side 'left'; accepted: before, after, both"),
        ({"focus": "b", "radius": -1}, "radius is -1; accepted: 0 or more"),
        ({"focus": "b", "radius": 1.5}, "radius is 1.5; accepted: 0 or more"),
        ({"between": 3}, "between is 3; accepted: the names or numbers of two nodes"),
        ({"focus": "b", "between": ("x", "d")}, "both focus= and between= are given"),
        ({"radius": 2}, "radius= and side= are about a focus, and none is given"),
        ({"between": "xd"}, "between is 'xd'; accepted: the names or numbers of two nodes"),
        ({"focus": 2.5}, "focus is a float; accepted: a node's name or number, a Finding, Path or Paths"),
    ],
)
def test_a_focus_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        view_of(samples.product_plus_sine(), **options)


def test_a_call_is_no_focus_but_can_be_opened_or_closed() -> None:
    with pytest.raises(InputError, match=r"'h.3.mlp' is a call, not a node; .* as 'h.3.mlp.weight' in it; unfold opens"):
        view_of(samples.network(20), focus="h.3.mlp")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.hidden(x)


@pytest.mark.parametrize("part", ["paths", "after", "between"])
def test_numbers_of_a_call_are_the_same_in_each_view(part: str) -> None:
    """A view of paths leaves out the transposed weight inside of a call: its cotangent is not one that leaves the call."""
    torch.manual_seed(0)
    model = nn.Sequential(Block(), Block(), Block())
    graph = trace(model, torch.randn(3, 4), loss=lambda out: out.square().mean())
    leaf = "0.hidden.0.weight"
    options: dict[str, dict[str, Any]] = {
        "paths": {"focus": graph.paths(leaf)},
        "after": {"focus": leaf, "side": "after"},
        "between": {"between": (leaf, graph.nodes[graph.output]["name"])},
    }
    whole = {group.name: (group.lines, group.gradient) for group in view_of(graph, collapse="*.hidden").groups}
    view = view_of(graph, collapse="*.hidden", **options[part])
    shown = {group.name: (group.lines, group.gradient) for group in view.groups}
    assert {"1.hidden", "2.hidden"} <= set(shown)
    assert all(whole[name] == told for name, told in shown.items() if name != "0.hidden")
    assert any("that of its whole call" in note for note in view.notes)
