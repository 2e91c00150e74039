"""Two graphs of which one has calls more, as a dropout, a cast or a copy -> which nodes of the one are which of the other.

Nodes are lined up by what they are, in forward order, as lines of two texts are. That counts only where every call that both
have reads the same in both, once what was put in between is left out; else nobody can say which of several calls that
look alike is which.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import SequenceMatcher

from gradviz.graph import GradGraph

Key = tuple[str, str, object, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Which nodes two graphs have in common.

    Attributes:
        pairs: (node of the first, node of the second), in the order of the first.
        only_first, only_second: runs of nodes that one graph alone has, in forward order.
        parting: the first nodes that stand in each other's place; what follows is not lined up. None where there are none.
    """

    pairs: tuple[tuple[int, int], ...]
    only_first: tuple[tuple[int, ...], ...]
    only_second: tuple[tuple[int, ...], ...]
    parting: tuple[int, int] | None


def alignment(first: GradGraph, second: GradGraph) -> Alignment | None:
    """None where no calls were put in between before the graphs part for good, or their leaves differ."""
    if set(first.leaves) != set(second.leaves):
        return None
    with_modules = bool(_modules(first) & _modules(second))
    left, right = _not_leaves(first), _not_leaves(second)
    here, there = ([_key(graph, node, with_modules) for node in nodes] for graph, nodes in ((first, left), (second, right)))
    opcodes = SequenceMatcher(None, here, there, autojunk=False).get_opcodes()
    place = next((place for place, (tag, *_) in enumerate(opcodes) if tag == "replace"), len(opcodes))
    parting = (left[opcodes[place][1]], right[opcodes[place][3]]) if place < len(opcodes) else None
    opcodes = opcodes[:place]
    if all(tag == "equal" for tag, *_ in opcodes):
        return None
    pairs = [(node, second.leaves[name]) for name, node in first.leaves.items()]
    for tag, start, stop, start_there, stop_there in opcodes:
        if tag == "equal":
            pairs += zip(left[start:stop], right[start_there:stop_there], strict=True)
    found = Alignment(
        pairs=tuple(sorted(pairs)),
        only_first=tuple(tuple(left[start:stop]) for tag, start, stop, _, _ in opcodes if tag == "delete"),
        only_second=tuple(tuple(right[start:stop]) for tag, _, _, start, stop in opcodes if tag == "insert"),
        parting=parting,
    )
    only_here = {here[place] for tag, start, stop, _, _ in opcodes if tag == "delete" for place in range(start, stop)}
    only_there = {there[place] for tag, _, _, start, stop in opcodes if tag == "insert" for place in range(start, stop)}
    is_moved = not only_here.isdisjoint(only_there)  # a call that runs earlier in one: it is no call more
    return found if not is_moved and _reads_alike(first, second, found) else None


def before(graph: GradGraph, node: int, common: Collection[int]) -> int | None:
    """The node that both graphs have whose value comes to a node first: itself, or what calls in between were made of."""
    pending = [node]
    while pending:
        node = pending.pop()
        if node in common:
            return node
        pending += [use.edge[0] for use in reversed(graph.arguments_of(node))]
    return None


def _modules(graph: GradGraph) -> set[str]:
    return {module for _, module in graph.nodes(data="module") if module}


def _not_leaves(graph: GradGraph) -> list[int]:
    leaves = set(graph.leaves.values())
    return [node for node in graph if node not in leaves]


def _key(graph: GradGraph, node: int, with_modules: bool) -> Key:
    data = graph.nodes[node]
    return data["kind"], data["op"], data["shape"], data["module"] if with_modules else ""


def _reads_alike(first: GradGraph, second: GradGraph, found: Alignment) -> bool:
    partner = dict(found.pairs)
    here, there = set(partner), set(partner.values())
    for one, other in found.pairs:
        reads = [(use.edge[2], before(first, use.edge[0], here)) for use in first.arguments_of(one)]
        counterparts = [(use.edge[2], before(second, use.edge[0], there)) for use in second.arguments_of(other)]
        if [(place, None if tail is None else partner[tail]) for place, tail in reads] != counterparts:
            return False
    return True
