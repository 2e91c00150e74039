"""What a graph that was loaded from a file cannot tell any more, as findings: for who reads these and no summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gradviz.diagnose.finding import NOT_CHECKED, Finding, found, listed
from gradviz.graph import Edge, GradGraph
from gradviz.saved.write import NOT_IN_FILE


def not_checked(
    graph: GradGraph, edges: Sequence[Edge], unread: Iterable[str], unanswered: Mapping[str, int]
) -> Iterator[Finding]:
    """The backward functions that nobody can ask any more, what takes elements that were not kept, or a further VJP.

    Args:
        graph: a loaded graph.
        edges: those into hand-written Functions.
        unread: what was looked for in vain.
        unanswered: question that came up -> the node where.
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
    for question, node in unanswered.items():
        yield found(
            graph,
            NOT_CHECKED,
            "hint",
            f"{question} was not looked at: a loaded graph has no autograd nodes to follow a cotangent by",
            "diagnose the graph where it is traced",
            node=node,
        )
    if absent := sum(missing == NOT_IN_FILE for _, missing in graph.nodes(data="value_missing")):
        yield found(
            graph,
            NOT_CHECKED,
            "hint",
            f"not in the file, over its budget or of a kind that it cannot hold: {absent} of {len(graph)} values; what "
            "these would tell was not looked for",
            "raise max_bytes of graph.save(path, max_bytes=...), or diagnose the graph where it is traced",
            numbers={"values not in the file": absent, "values": len(graph)},
        )
    if names := list(unread):
        yield found(
            graph,
            NOT_CHECKED,
            "hint",
            f"not looked for in all of the graph: {', '.join(names)} ({graph.not_kept})",
            'trace it with values="full", which keeps all elements',
        )
