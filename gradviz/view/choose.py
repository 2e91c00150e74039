"""A large graph -> the part of it that fits on one picture.

Graphviz needs seconds for a thousand nodes and a reader gives up before that, so a picture has a budget. What stays is
what lies nearest to the output, counted in edges, since gradients start there, and the first calls with their inputs, since
they end there.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import networkx as nx

REPEAT_OVER = 8
"""A leaf, or an op without gradient, with more users than this is drawn once per user."""


def output_nodes(graph: nx.MultiDiGraph) -> list[int]:
    """The outputs in forward order; the nodes that nothing uses where none is marked."""
    marked = [node for node, is_output in graph.nodes(data="is_output") if is_output]
    return marked or [node for node in graph if not graph.out_degree(node)]


def chosen_nodes(graph: nx.MultiDiGraph, max_nodes: int) -> tuple[list[int], int]:
    """At most `max_nodes` nodes in forward order, and how many of them stay for being the first ones.

    Most have the fewest edges between them and an output; of two equally near, the later one stays. A quarter is for the
    first calls that lead to the output, with their inputs. Nodes that lead to no output come last.

    >>> graph = nx.MultiDiGraph([(0, 2), (1, 2), (2, 4), (3, 4)])
    >>> chosen_nodes(graph, 3)
    ([2, 3, 4], 0)
    >>> chosen_nodes(nx.path_graph(100, create_using=nx.MultiDiGraph), 8)
    ([0, 1, 94, 95, 96, 97, 98, 99], 2)
    """
    if len(graph) <= max_nodes:
        return sorted(graph), 0
    distance = _distances(graph)
    far = len(graph)
    ranked = sorted(graph, key=lambda node: (distance.get(node, far), -node))
    near = ranked[: max_nodes - max_nodes // 4]
    first = _first_calls(graph, set(distance) - set(near), max_nodes - len(near))
    rest = [node for node in ranked[len(near) :] if node not in first]
    return sorted([*near, *first, *rest[: max_nodes - len(near) - len(first)]]), len(first)


def chosen_shapes(graph: nx.MultiDiGraph, max_shapes: int) -> tuple[list[int], int]:
    """As `chosen_nodes`, but a node that is drawn once per user counts that often, unless all nodes fit.

    >>> graph = nx.MultiDiGraph([(0, 6), (1, 2), (0, 3), (2, 3), (3, 4), (0, 4), (4, 5), (0, 5), (5, 6)])
    >>> nx.set_node_attributes(graph, {node: {"kind": "op" if node > 1 else "constant"} for node in graph})
    >>> nx.set_node_attributes(graph, True, "requires_grad")
    >>> chosen_nodes(graph, 6)[0], chosen_shapes(graph, 6)[0]
    ([0, 2, 3, 4, 5, 6], [0, 4, 5, 6])
    """
    budget = max_shapes
    while True:
        order, first = chosen_nodes(graph, budget)
        shown = set(order)
        copies = sum(_users(graph, node, shown) - 1 for node in repeated_nodes(graph, shown))
        shapes = len(order) + copies
        if shapes <= max_shapes or len(order) == len(graph) or budget <= 1:
            return order, first
        budget = max(1, min(budget - 1, budget * max_shapes // shapes))


def _distances(graph: nx.MultiDiGraph) -> dict[int, int]:
    """The fewest edges between each node and an output that it leads to."""
    distance = dict.fromkeys(output_nodes(graph), 0)
    waiting = deque(distance)
    while waiting:
        head = waiting.popleft()
        for tail in graph.predecessors(head):
            if tail not in distance:
                distance[tail] = distance[head] + 1
                waiting.append(tail)
    return distance


def _first_calls(graph: nx.MultiDiGraph, candidates: set[int], budget: int) -> set[int]:
    """The first calls among the candidates, as many as fit together with the leaves and constants that they read."""
    first: set[int] = set()
    for node in sorted(candidates):
        if not graph.in_degree(node):
            continue
        group = {node, *(tail for tail in graph.predecessors(node) if tail in candidates and not graph.in_degree(tail))}
        if len(first | group) > budget:
            break
        first |= group
    return first


def depth(graph: nx.MultiDiGraph, shown: set[int]) -> int:
    """The number of edges on the longest path through the shown nodes.

    >>> depth(nx.MultiDiGraph([(0, 1), (1, 2), (0, 2)]), {0, 1, 2})
    2
    """
    deepest: dict[int, int] = {}
    for node in sorted(shown):
        deepest[node] = max((deepest[tail] + 1 for tail in graph.predecessors(node) if tail in deepest), default=0)
    return max(deepest.values(), default=0)


def repeated_nodes(graph: nx.MultiDiGraph, shown: set[int]) -> set[int]:
    """The shown nodes that are drawn once per user.

    A value that feeds every block of a network (a mask, a shared weight) ties all ranks of the layout together: arrows
    cross the whole picture, and Graphviz takes minutes. A constant has no gradient to follow, so two users are enough.
    """
    repeated = set()
    for node in shown:
        if _users(graph, node, shown) > most_users(graph.nodes[node]):
            repeated.add(node)
    return repeated


def _users(graph: nx.MultiDiGraph, node: int, shown: set[int]) -> int:
    return sum(head in shown for head in graph.successors(node))


def most_users(attributes: Mapping[str, Any]) -> float:
    """With how many users a node is still drawn once."""
    if attributes["kind"] == "constant":
        return 1
    return REPEAT_OVER if attributes["kind"] == "leaf" or not attributes["requires_grad"] else math.inf
