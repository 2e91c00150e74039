"""What is drawn of a graph -> what of it is on the picture: at most so many shapes, one for each node or for each use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from gradviz.view.choose import chosen_shapes, repeated_nodes
from gradviz.view.drawn import Drawn
from gradviz.view.gaps import gaps_in
from gradviz.view.groups import Group
from gradviz.view.told import Told, told_elsewhere
from gradviz.view.verdicts import Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Which shapes there are, before anything is written on them. A group is a node of the graph that is drawn.

    Attributes:
        drawn: what is drawn of the whole graph, were there room for it.
        graph: the same without what others tell.
        told: what others tell.
        repeated: what is drawn once per use, or was before others told it; empty of a part, and where little would be shown.
        order: the nodes that are on the picture, in forward order.
        nodes: the same.
        first: how many of them are there as the first ones of the graph.
        users: node -> its users on the picture, numbered, where it is drawn once for each.
        gaps: what is left out, in parts that hang together.
    """

    drawn: Drawn
    graph: nx.MultiDiGraph
    told: Told
    repeated: frozenset[int]
    order: tuple[int, ...]
    nodes: frozenset[int]
    first: int
    users: Mapping[int, Mapping[int, int]]
    gaps: Sequence[Sequence[int]]

    @property
    def groups(self) -> Mapping[int, Group]:
        """The groups among the nodes that are drawn."""
        return self.drawn.quotient.groups

    @property
    def arrows(self) -> int:
        """How many edges are on the picture."""
        return sum(tail in self.nodes and head in self.nodes for tail, head in self.graph.edges())

    def shape(self, node: int) -> str:
        """The id of a node's shape, or of the first of several."""
        return f"group_{node}" if node in self.groups else f"node_{node}"

    def shape_for(self, tail: int, head: int) -> str:
        """The id of the shape that stands for `tail` where `head` uses it."""
        place = self.users[tail][head] if tail in self.users else 0
        return f"{self.shape(tail)}_use_{place + 1}" if place else self.shape(tail)

    def shapes_of(self, node: int) -> Iterator[tuple[str, int, int | None]]:
        """The id of each shape of a node, the node, and its user where it is drawn once for each."""
        if node in self.users:
            yield from ((self.shape_for(node, head), node, head) for head in self.users[node])
        else:
            yield self.shape(node), node, None


def shown_of(drawn: Drawn, marks: Marks, max_nodes: int, *, with_calls: bool) -> Shown:
    """What is on the picture.

    Args:
        drawn: the graph as it is drawn.
        marks: what was found, and must not go unseen.
        max_nodes: how many shapes there may be.
        with_calls: whether the picture says what calls do.
    """
    graph, focus = drawn.quotient.graph, drawn.focus
    shows_most = focus is None and (drawn.quotient.groups or len(graph) <= 2 * max_nodes)  # of others a copy takes long
    repeated = frozenset(repeated_nodes(graph, set(graph))) if shows_most else frozenset[int]()
    centre = focus.centre if focus else frozenset[int]()
    quiet = [node for node in repeated - drawn.named - centre if not marks.is_marked(node)]
    told = told_elsewhere(graph, quiet, with_calls=with_calls)
    if left_out := told.in_groups | told.in_parts:
        graph = graph.subgraph(set(graph) - left_out).copy()
    order, first = chosen_shapes(graph, max_nodes)
    nodes = frozenset(order)
    return Shown(
        drawn=drawn,
        graph=graph,
        told=told,
        repeated=repeated,
        order=tuple(order),
        nodes=nodes,
        first=first,
        users={node: _numbered_users(graph, node, nodes) for node in sorted(repeated_nodes(graph, set(order)))},
        gaps=gaps_in(graph, nodes),
    )


def _numbered_users(graph: nx.MultiDiGraph, node: int, nodes: frozenset[int]) -> dict[int, int]:
    """The users of a node that are on the picture, numbered in forward order."""
    heads = sorted({head for head in graph.successors(node) if head in nodes})
    return {head: place for place, head in enumerate(heads)}
