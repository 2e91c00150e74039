"""A graph -> plain dictionaries, read once: networkx makes a view for each look, and 100,000 nodes are looked at often."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

Edge = tuple[int, int, int]
Attributes = Mapping[str, Any]
Place = tuple[int, int]
"""(node, output)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wires:
    """The nodes of a graph that are left to draw, and the edges between them.

    Attributes:
        attributes: node -> its attributes, in forward order.
        into: node -> (tail, key, edge attributes) of each edge into it.
        out_of: node -> (head, edge attributes) of each edge out of it.
    """

    attributes: dict[int, Attributes]
    into: dict[int, list[tuple[int, int, Attributes]]]
    out_of: dict[int, list[tuple[int, Attributes]]]

    def edges(self) -> Iterator[tuple[Edge, Attributes]]:
        """Every edge with its attributes."""
        for head, edges in self.into.items():
            for tail, key, data in edges:
                yield (tail, head, key), data

    def shape(self, place: Place) -> tuple[int, ...]:
        """The shape of one output of a node."""
        attributes = self.attributes[place[0]]
        shape: tuple[int, ...] = attributes["shape"][place[1]] if len(attributes["outputs"]) > 1 else attributes["shape"]
        return shape

    def only(self, nodes: Collection[int]) -> Wires:
        """Of these nodes, and of the edges between them."""
        kept = {node: attributes for node, attributes in self.attributes.items() if node in nodes}
        return Wires(
            attributes=kept,
            into={node: [edge for edge in self.into[node] if edge[0] in kept] for node in kept},
            out_of={node: [edge for edge in self.out_of[node] if edge[0] in kept] for node in kept},
        )

    def read_by(self, nodes: Collection[int]) -> list[Place]:
        """The values that these nodes read and do not make, in the order in which they are read."""
        places = ((tail, data["output"]) for head in sorted(nodes) for tail, _, data in self.into[head] if tail not in nodes)
        return list(dict.fromkeys(places))

    def made_by(self, nodes: Collection[int]) -> list[Place]:
        """The values that these nodes make and others read, in forward order."""
        places = ((tail, data["output"]) for tail in sorted(nodes) for head, data in self.out_of[tail] if head not in nodes)
        return list(dict.fromkeys(places))


def wires_of(graph: nx.MultiDiGraph, *, without: Collection[int] = (), unread: Collection[int] = ()) -> Wires:
    """Reads a graph.

    Args:
        graph: with the attributes of a `GradGraph`.
        without: nodes that are left out.
        unread: nodes whose inputs are left out.

    >>> wires = wires_of(nx.path_graph(4, create_using=nx.MultiDiGraph), without=[3])
    >>> list(wires.attributes), wires.into[2]
    ([0, 1, 2], [(1, 0, {})])
    """
    attributes = {node: data for node, data in sorted(graph.nodes(data=True)) if node not in without}
    wires = Wires(attributes=attributes, into={node: [] for node in attributes}, out_of={node: [] for node in attributes})
    for tail, head, key, data in graph.edges(keys=True, data=True):
        if tail not in without and head not in without and head not in unread:
            wires.into[head].append((tail, key, data))
            wires.out_of[tail].append((head, data))
    return wires
