"""What is left out of a picture -> places that say so: `⋯ 402 nodes not shown` between what comes before and after."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import networkx as nx

MAX_GAPS = 12
"""A picture with more holes than this marks only the largest ones; the nodes around the others count what is missing."""


def gaps_in(graph: nx.MultiDiGraph, shown: Collection[int]) -> list[list[int]]:
    """The connected parts of the graph that are not shown, each in forward order, the largest ones at most.

    A part without a call, such as a lone leaf, makes no gap: the node that reads it says that an input is missing.

    >>> graph = nx.MultiDiGraph([(0, 1), (1, 2), (2, 3), (3, 5), (4, 5)])
    >>> gaps_in(graph, {0, 3, 5})
    [[1, 2]]
    """
    parts = [sorted(part) for part in _hidden_parts(graph, shown)]
    with_calls = [part for part in parts if any(graph.in_degree(node) for node in part)]
    return sorted(sorted(with_calls, key=len, reverse=True)[:MAX_GAPS])


def _hidden_parts(graph: nx.MultiDiGraph, shown: Collection[int]) -> Iterator[set[int]]:
    seen = set(shown)
    for start in graph:
        if start in seen:
            continue
        part = {start}
        waiting = [start]
        while waiting:
            node = waiting.pop()
            for neighbours in (graph.predecessors(node), graph.successors(node)):
                new = [neighbour for neighbour in neighbours if neighbour not in part and neighbour not in seen]
                part.update(new)
                waiting += new
        seen |= part
        yield part
