"""A graph and its groups -> the smaller graph that is drawn: each group one node, what runs between two of them one edge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

from gradviz.view.groups import Group
from gradviz.view.wires import Edge, Wires


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient:
    """What is drawn of a graph.

    Attributes:
        graph: a group stands there under the number of its last node, as a node of kind "group".
        groups: number -> group.
        bundles: edge from or to a group -> the edges of the whole graph that it stands for.
    """

    graph: nx.MultiDiGraph
    groups: Mapping[int, Group] = field(default_factory=dict)
    bundles: Mapping[Edge, tuple[Edge, ...]] = field(default_factory=dict)


def quotient(wires: Wires, groups: Sequence[Group]) -> Quotient:
    """Puts each group in the place of its nodes.

    >>> from gradviz.view.wires import wires_of
    >>> chain = nx.path_graph(4, create_using=nx.MultiDiGraph)
    >>> nx.set_node_attributes(chain, False, "requires_grad")
    >>> group = Group(name="h", kind="call", blocks=((1, 2),), nodes=frozenset({1, 2}))
    >>> found = quotient(wires_of(chain), [group])
    >>> list(found.graph.edges), found.groups[2].name
    ([(0, 2, 0), (2, 3, 0)], 'h')
    """
    by_number = {max(group.nodes): group for group in groups}
    number = {node: place for place, group in by_number.items() for node in group.nodes}
    drawn = nx.MultiDiGraph()
    drawn.add_nodes_from((node, attributes) for node, attributes in wires.attributes.items() if node not in number)
    for place, group in by_number.items():
        drawn.add_node(place, **_group_attributes(wires, group))
    bundles: dict[Edge, list[Edge]] = {}
    attributes = {}
    for (tail, head, key), data in wires.edges():
        ends = number.get(tail, tail), number.get(head, head)
        if ends == (tail, head) and tail not in by_number and head not in by_number:
            drawn.add_edge(tail, head, key=key, **data)
        elif ends[0] != ends[1]:
            bundles.setdefault((*ends, 0), []).append((tail, head, key))
            attributes[tail, head, key] = data
    for (tail, head, key), edges in bundles.items():
        cuts = {attributes[edge].get("cut", "") for edge in edges}
        cut = cuts.pop() if len(cuts) == 1 else ""
        drawn.add_edge(tail, head, key=key, output=0, argument="", partial=None, contribution=None, cut=cut)
    return Quotient(graph=drawn, groups=by_number, bundles={edge: tuple(edges) for edge, edges in bundles.items()})


def _group_attributes(wires: Wires, group: Group) -> dict[str, object]:
    return {
        "kind": "group",
        "name": group.name,
        "op": "",
        "requires_grad": any(wires.attributes[node]["requires_grad"] for node in group.nodes),
        "is_output": False,
        "cotangent": None,
        "value": None,
    }
