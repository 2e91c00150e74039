"""Where two graphs are not of the same calls: leaves and calls that one alone has, or that read other values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from gradviz.alignment import Alignment, before, paired_leaves, renamed_leaves
from gradviz.compare.comparison import NAMED, Difference
from gradviz.graph import GradGraph


def first_structural(first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]]) -> Difference | None:
    leaves = paired_leaves(first, second)
    if not len(leaves) == len(first.leaves) == len(second.leaves):
        alone = [*_only("first", first, second), *_only("second", second, first)]
        return _of_the_whole(f"the graphs have different leaves: {', and '.join(alone)}; nothing else is compared")
    for place, (one, other) in enumerate(pairs):
        left, right = first.nodes[one], second.nodes[other]
        if told := _unlike(left, right):
            return _first_rewired(first, second, pairs[:place]) or _parting(first, one, told)
    if len(first) != len(second) and (rewired := _first_rewired(first, second, pairs)):
        return rewired
    if len(first) != len(second):
        return _of_the_whole(f"one graph has {len(first)} nodes, the other {len(second)}")
    return None


def renamed(first: GradGraph, second: GradGraph) -> list[Difference]:
    """One that tells the leaves whose layers have other numbers in the second graph; else none."""
    names = [f"{one} is {other}" for one, other in renamed_leaves(first, second)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    message = f"layers have other numbers in the second: {', '.join(names[:NAMED])}{more}"
    return [_of_the_whole(message)] if names else []


def in_between(first: GradGraph, second: GradGraph, aligned: Alignment | None) -> Iterator[Difference]:
    """One for each run of calls that one graph alone has, or that stand in the place of others; in forward order."""
    if aligned is None:
        return
    here, back = {one for one, _ in aligned.pairs}, {other: one for one, other in aligned.pairs}
    told: list[tuple[int, Difference]] = []
    for run in aligned.only_first:
        told.append((run[0], _run_told(first, run, f"only the first has {_calls(first, run)}", here, is_first=True)))
    for run in aligned.only_second:
        place = max((back[node] for node in back if node < run[0]), default=0)
        said = f"only the second has {_calls(second, run)}"
        told.append((place, _run_told(second, run, said, back, is_first=False)))
    for run, other in aligned.replaced:
        said = f"the first has {_calls(first, run)} where the second has {_calls(second, other)}"
        told.append((run[0], _run_told(first, run, said, here, is_first=True)))
    yield from (one for _, one in sorted(told, key=lambda item: item[0]))


def _run_told(
    graph: GradGraph, run: tuple[int, ...], told: str, common: Collection[int], *, is_first: bool
) -> Difference:
    """A run of calls as a difference: which they are, behind which call that both graphs have, and on which line."""
    tail, source = before(graph, run[-1], common), str(graph.nodes[run[-1]]["source"])
    behind = "" if tail is None else f" behind {graph.nodes[tail]['name']}"
    return Difference(
        what="structure",
        node=run[0] if is_first else None,
        name=str(graph.nodes[run[0]]["name"]),
        source=source,
        relative=float("inf"),
        message=f"{told}{behind} ({source or 'no source line'})",
    )


def _calls(graph: GradGraph, run: tuple[int, ...]) -> str:
    """The first calls of a run, as "h = tanh", and how many more there are."""
    calls = [f"{graph.nodes[node]['name']} = {graph.nodes[node]['op'] or graph.nodes[node]['kind']}" for node in run]
    more = f" and {len(calls) - NAMED} more" if len(calls) > NAMED else ""
    return f"{', '.join(calls[:NAMED])}{more}"


def _only(which: str, graph: GradGraph, other: GradGraph) -> Iterator[str]:
    """The leaves that one graph has and the other has not, in words."""
    names = [repr(name) for name in graph.leaves if name not in other.leaves]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    if names:
        yield f"only the {which} has {', '.join(names[:NAMED])}{more}"


def _unlike(left: dict[str, Any], right: dict[str, Any]) -> str:
    """What tells two nodes apart that stand in the same place; "" where nothing does."""
    for attribute in ("kind", "op", "shape"):
        if left[attribute] != right[attribute]:
            return f"its {attribute} is {left[attribute] or 'none'} here and {right[attribute] or 'none'} in the other"
    return ""


def _first_rewired(first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]]) -> Difference | None:
    """The first of calls that look alike which reads other values, where the graphs are known to part later on."""
    partner = dict(pairs)
    for one, other in pairs:
        if [(partner.get(tail), *use) for tail, *use in _arguments(first, one)] != _arguments(second, other):
            told = f"it reads {_read(first, one)} here, and its counterpart {_read(second, other)} in the other"
            return _parting(first, one, told)
    return None


def _arguments(graph: GradGraph, node: int) -> list[tuple[int, int, int]]:
    """Tail, argument position and which of the tail's outputs, of all that a call reads."""
    return [(use.edge[0], use.edge[2], use.output) for use in graph.arguments_of(node)]


def _read(graph: GradGraph, node: int) -> str:
    return ", ".join(graph.output_name(use.edge[0], use.output) for use in graph.arguments_of(node)) or "nothing"


def _parting(graph: GradGraph, node: int, told: str) -> Difference:
    """Where the structure of two graphs differs first."""
    name, source = str(graph.nodes[node]["name"]), str(graph.nodes[node]["source"])
    message = f"the graphs part at {name} ({source or 'no source line'}): {told}; what follows is not compared"
    return Difference(what="structure", node=node, name=name, source=source, relative=float("inf"), message=message)


def _of_the_whole(message: str) -> Difference:
    return Difference(what="structure", node=None, name="", source="", relative=float("inf"), message=message)
