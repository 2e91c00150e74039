"""A picture with groups -> shapes that frames step through: a group is one of them, and stands for all that is inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import networkx as nx

from gradviz.graph import Edge, GradGraph
from gradviz.view import View, ViewGroup, ViewNode
from gradviz.view.group_labels import NO_SHAPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is drawn of one graph.

    Attributes:
        view: the picture, on which each group is a node, under the number of its last one.
        groups: number -> group.
        nodes: the nodes of the graph that are drawn, or inside a group that is.
        bundles: id of an edge of the view -> the edges of the graph that it stands for, where these are several.
    """

    view: View
    nodes: frozenset[int]
    groups: Mapping[int, ViewGroup] = field(default_factory=dict)
    bundles: Mapping[str, frozenset[Edge]] = field(default_factory=dict)

    def members(self, node: int) -> tuple[int, ...]:
        """The nodes of the graph that a node of the view stands for."""
        return self.groups[node].nodes if node in self.groups else (node,)

    def edges(self, view_id: str, edge: Edge) -> frozenset[Edge]:
        """The edges of the graph that an edge of the view stands for, of which `edge` is one."""
        return self.bundles.get(view_id, frozenset({edge}))


def scene_of(graph: GradGraph, view: View) -> Scene:
    """The same picture as shapes."""
    plain = frozenset(node.node for node in view.nodes)
    if not view.groups:
        return Scene(view=view, nodes=plain)
    groups = {max(group.nodes): group for group in view.groups}
    number = {node: place for place, group in groups.items() for node in group.nodes}
    bundles: dict[str, set[Edge]] = {}
    for tail, head, key in graph.edges(keys=True):
        if tail in number or head in number:
            name = f"edge_{number.get(tail, tail)}_{number.get(head, head)}_0"
            bundles.setdefault(name, set()).add((tail, head, key))
    nodes = [*view.nodes, *(_node(max(group.nodes), group) for group in view.groups)]
    return Scene(
        view=replace(view, nodes=tuple(_in_order(nodes, view)), groups=(), boxes=()),
        nodes=plain | frozenset(number),
        groups=groups,
        bundles={edge.id: frozenset(bundles[edge.id]) for edge in view.edges if edge.id in bundles},
    )


def _node(place: int, group: ViewGroup) -> ViewNode:
    """What is inside, then the shapes that come in and go out: a line that begins like a tensor would be read as a value."""
    count = f"{group.count:,} × " if group.count > 1 else ""
    *shapes, inside = group.lines or ("",)
    return ViewNode(
        id=group.id,
        node=place,
        role="op",
        differentiable=group.differentiable,
        name=f"{count}{group.title}",
        value=(inside, *map(_shapes_told, shapes)),
    )


def _shapes_told(line: str) -> str:
    """
    >>> _shapes_told("[2, 3] → [2]"), _shapes_told("∅ → [5, 5]"), _shapes_told("with w")
    ('from [2, 3] to [2]', 'makes [5, 5]', 'with w')
    """
    come, arrow, go = line.partition(" → ")
    if not arrow:
        return line
    return f"makes {go}" if come == NO_SHAPES else f"from {come} to {go}"


def _in_order(nodes: list[ViewNode], view: View) -> list[ViewNode]:
    """What a group reads comes before it, also where some of it ran earlier; of what could come next, what ran first.

    Steps of a loop that are one group may read what reads them: there each comes when all of it has run.
    """
    by_id = {node.id: node for node in nodes}
    drawn = nx.DiGraph((edge.tail, edge.head) for edge in view.edges)
    drawn.add_nodes_from(by_id)
    if not nx.is_directed_acyclic_graph(drawn):
        return sorted(nodes, key=lambda node: node.node)
    return [by_id[name] for name in nx.lexicographical_topological_sort(drawn, key=lambda name: by_id[name].node)]
