"""A node, a finding, a path or two nodes -> the part of the graph around them or between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, get_args

import networkx as nx

from gradviz.attributes import unknown_node
from gradviz.errors import InputError
from gradviz.paths import Path, Paths
from gradviz.view.closing import matches
from gradviz.view.landmarks import placed
from gradviz.view.verdicts import Finding, place_of

Side = Literal["before", "after", "both"]
Target = int | str | Finding | Path | Paths
RADIUS = 3
"""How far the picture reaches around a node or a finding where nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Focus:
    """A part of a graph.

    Attributes:
        nodes: what is in it.
        what: says so, for the picture.
        centre: the nodes that it is about, which no group may hide.
    """

    nodes: frozenset[int]
    what: str
    centre: frozenset[int] = frozenset()


def around(graph: nx.MultiDiGraph, target: Target | Sequence[Target], *, radius: int | None, side: Side) -> Focus:
    """The part of the graph around one thing, or around several.

    Args:
        graph: a `GradGraph`.
        target: a node's name or number, a finding, a path of `graph.paths(name).top`, or all of those as `Paths`.
        radius: how many edges it reaches; None for all on one side, for 3 on both, and for no more than the path of a path.
        side: "before" for what leads there, "after" for what comes of it, or "both".

    Raises:
        InputError: there is no such node, or an option has a value that is not accepted.

    >>> import gradviz
    >>> graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    >>> found = around(graph, "b", radius=1, side="after")
    >>> [graph.nodes[node]["name"] for node in sorted(found.nodes)], found.what
    (['b', 'c'], 'b and what comes of it, 1 edge far')
    """
    if side not in get_args(Side):
        raise InputError(f"unknown side {side!r}; accepted: {', '.join(get_args(Side))}")
    if radius is not None and (not isinstance(radius, int) or radius < 0):
        raise InputError(f"radius is {radius!r}; accepted: 0 or more")
    targets = target if isinstance(target, (list, tuple)) else [target]
    starts = {node for one in targets for node in _nodes_of(graph, one)}
    if radius is None:
        of_paths = all(isinstance(one, (Path, Paths)) for one in targets)
        radius = 0 if of_paths else RADIUS if side == "both" else None
    found = set(starts)
    if side != "after":
        found |= _within(starts, graph.predecessors, radius)
    if side != "before":
        found |= _within(starts, graph.successors, radius)
    words = {"before": " and what leads there", "after": " and what comes of it", "both": " and what is around"}
    far = "" if not radius else f", {radius} edge{'' if radius == 1 else 's'} far"
    what = ", ".join(dict.fromkeys(_name(graph, one) for one in targets))
    centre = frozenset(node for one in targets if not isinstance(one, (Path, Paths)) for node in _nodes_of(graph, one))
    return Focus(nodes=frozenset(found), what=what + ("" if radius == 0 else words[side] + far), centre=centre)


def between(graph: nx.MultiDiGraph, ends: Sequence[int | str]) -> Focus:
    """All paths from one node to another.

    Raises:
        InputError: there is no such node, or no path.
    """
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        raise InputError(f"between is {ends!r}; accepted: the names or numbers of two nodes")
    first, last = (_node(graph, end) for end in ends)
    nodes = _within([first], graph.successors, None) & _within([last], graph.predecessors, None)
    names = [str(graph.nodes[node]["name"]) for node in (first, last)]
    if not nodes:
        raise InputError(f"no path leads from {names[0]!r} to {names[1]!r}; between takes the earlier node first")
    return Focus(nodes=frozenset(nodes), what=f"the paths from {names[0]} to {names[1]}", centre=frozenset({first, last}))


def focus_in(graph: nx.MultiDiGraph, target: Target | Sequence[Target] | None) -> Target | Sequence[Target] | None:
    """What is in focus, of which the findings of another graph are about the same calls in this one."""
    if isinstance(target, (list, tuple)):
        return [placed(graph, [one])[0] if _is_finding(one) else one for one in target]
    return placed(graph, [target])[0] if _is_finding(target) else target


def findings_in(target: Target | Sequence[Target] | None) -> list[Finding]:
    """The findings among what is in focus."""
    targets = target if isinstance(target, (list, tuple)) else [target]
    return [one for one in targets if _is_finding(one)]


def _is_finding(target: Any) -> TypeGuard[Finding]:
    return hasattr(target, "kind") and hasattr(target, "edge")


def _within(starts: Collection[int], neighbours: Callable[[int], Iterable[int]], radius: int | None) -> set[int]:
    """The nodes at most `radius` steps away, the starts included."""
    found = set(starts)
    front: Collection[int] = found
    steps = 0
    while front and (radius is None or steps < radius):
        front = {neighbour for node in front for neighbour in neighbours(node)} - found
        found |= front
        steps += 1
    return found


def _nodes_of(graph: nx.MultiDiGraph, target: Any) -> Iterator[int]:
    if isinstance(target, Paths):
        for path in target.top:
            yield from path.nodes
    elif isinstance(target, Path):
        yield from target.nodes
    elif isinstance(target, (int, str)):
        yield _node(graph, target)
    elif _is_finding(target):
        place = place_of(target)
        if place is None:
            raise InputError(f"the finding {target.kind!r} is about something that is not in the graph")
        if place not in graph if target.edge is None else not graph.has_edge(*target.edge):
            where = f"node {place}" if target.edge is None else f"the edge {target.edge}"
            raise InputError(f"the finding {target.kind!r} is about {where}, which is not in the graph")
        yield from {place} if target.edge is None else {place, target.edge[0]}
    else:
        raise InputError(f"focus is a {type(target).__name__}; accepted: a node's name or number, a Finding, Path or Paths")


def _node(graph: nx.MultiDiGraph, node: int | str) -> int:
    if isinstance(node, int) and node in graph:
        return node
    for number, name in graph.nodes(data="name"):
        if name == node:
            return int(number)
    for _, attributes in graph.nodes(data=True):
        if isinstance(node, str) and any(matches(call, node) for call in attributes["scope"]):
            raise InputError(
                f"{node!r} is a call, not a node; accepted: a node, as {attributes['name']!r} in it; unfold opens a call, "
                "fold and collapse draw it as one shape"
            )
    raise unknown_node(node, (name for _, name in graph.nodes(data="name")))


def _name(graph: nx.MultiDiGraph, target: Any) -> str:
    if isinstance(target, Paths):
        many = f"{len(target.top)} largest paths" if len(target.top) > 1 else "largest path"
        return f"the {many} from {target.name}"
    if isinstance(target, Path):
        return f"a path from {graph.nodes[target.nodes[0]]['name']}"
    return str(target.kind) if hasattr(target, "kind") else str(graph.nodes[_node(graph, target)]["name"])
