"""What a graph that was loaded from a file cannot tell any more, as findings: for who reads these and no summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gradviz.diagnose.finding import NOT_CHECKED, Finding, found, listed
from gradviz.graph import Edge, GradGraph


def not_checked(graph: GradGraph, edges: Sequence[Edge], unread: Iterable[str]) -> Iterator[Finding]:
    """The backward functions that nobody can ask any more, and what takes elements that were not kept.

    Args:
        graph: a loaded graph.
        edges: those into hand-written Functions.
        unread: what was looked for in vain.
    """
    if edges:
        ops = list(dict.fromkeys(str(graph.nodes[head]["op"]) for _, head, _ in edges))
        yield found(
            graph,
            NOT_CHECKED,
            "hint",
            f"the backward of {listed(ops)} was not checked: a loaded graph has no autograd nodes to ask",
            "diagnose the graph where it is traced",
            edge=edges[0],
        )
    if names := list(unread):
        yield found(
            graph,
            NOT_CHECKED,
            "hint",
            f"not looked for in all of the graph: {', '.join(names)} ({graph.not_kept})",
            'trace it with values="full", which keeps all elements',
        )
