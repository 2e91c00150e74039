"""Findings of one graph -> where the same calls are in another graph of the same code, of which the numbers are others.

A finding knows what its node is: a leaf by its name; a call by its function, its module and the line, and which it is of
those that have these in common. In the graph that it is of this fits its number. In another one, as of the code with a
dropout more, the node is looked for that it fits; where there are more such calls, or fewer, nobody can say which it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass, replace
from typing import Any, NamedTuple, TypeVar

import networkx as nx

Told = TypeVar("Told")


class Landmark(NamedTuple):
    """What a node is, apart from its number.

    Attributes:
        name, op, module, source: as the graph has them.
        which, among: the how manieth it is of how many calls of the same function, module and line.
    """

    name: str
    op: str
    module: str
    source: str
    which: int
    among: int


def marked(graph: nx.MultiDiGraph, findings: Iterable[Any]) -> list[Any]:
    """The findings, each with the `landmark` of its node; those about none as they are."""
    alike, nodes = _alike(graph), graph.nodes
    return [finding if (node := _node_of(finding)) is None else replace(finding, landmark=_of(nodes[node], node, alike))
            for finding in findings]  # fmt: skip


def placed(graph: nx.MultiDiGraph, findings: Iterable[Told]) -> list[Told]:
    """The findings as they are about this graph; those that fit no node of it are about none."""
    return [_placed(graph, finding) for finding in findings]


def _node_of(finding: Any) -> int | None:
    node: int | None = finding.node if finding.edge is None else finding.edge[1]
    return node


def _alike(graph: nx.MultiDiGraph) -> dict[tuple[str, str, str], list[int]]:
    """Function, module and line -> the nodes that have these in common, in forward order."""
    found: dict[tuple[str, str, str], list[int]] = {}
    for node, data in graph.nodes(data=True):
        found.setdefault((data["op"], data["module"], data["source"]), []).append(node)
    return found


def _of(data: Mapping[str, Any], node: int, alike: Mapping[tuple[str, str, str], list[int]]) -> Landmark:
    same = alike[data["op"], data["module"], data["source"]]
    return Landmark(data["name"], data["op"], data["module"], data["source"], same.index(node), len(same))


def _placed(graph: nx.MultiDiGraph, finding: Any) -> Any:
    mark, edge, node = getattr(finding, "landmark", None), finding.edge, _node_of(finding)
    if mark is None or node is None or not is_dataclass(finding) or isinstance(finding, type):
        return finding
    is_here = node in graph and tuple(graph.nodes[node][what] for what in ("name", "op", "module", "source")) == mark[:4]
    if is_here and (edge is None or graph.has_edge(*edge)):
        return finding
    found = _place(graph, mark)
    if edge is None or found is None:
        return replace(finding, node=found, edge=None)
    into = next((other for other in graph.in_edges(found, keys=True) if other[2] == edge[2]), None)
    return replace(finding, node=found if into is None else None, edge=into)


def _place(graph: nx.MultiDiGraph, mark: Landmark) -> int | None:
    if not mark.op:
        named = (node for node, data in graph.nodes(data=True) if not data["op"] and data["name"] == mark.name)
        return next(named, None)
    alike = _alike(graph).get((mark.op, mark.module, mark.source), [])
    return alike[mark.which] if len(alike) == mark.among else None
