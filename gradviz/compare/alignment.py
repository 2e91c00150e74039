"""Two graphs of which one has calls more, or others in their place -> which nodes of the one are which of the other.

Nodes are lined up by what they are, in forward order (`sequences`), constants where that is not enough by what reads them.
That counts only where every call that both have reads the same in both, once what was put in between is left out; else
nobody can say which of several calls that look alike is which.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gradviz.compare.leaves import Leaves, PairedLeaves, Pairs, renamed_leaves
from gradviz.compare.sequences import runs
from gradviz.graph import GradGraph

Key = tuple[str, str, object, str, Hashable]
"""Kind, function, shape, module, and the leaves that a call reads where these tell calls apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Which nodes two graphs have in common.

    Attributes:
        pairs: (node of the first, node of the second), in the order of the first.
        only_first, only_second: runs of nodes that one graph alone has, in forward order.
        replaced: runs of nodes that stand in each other's place, (of the first, of the second), in forward order.
    """

    pairs: tuple[tuple[int, int], ...]
    only_first: tuple[tuple[int, ...], ...]
    only_second: tuple[tuple[int, ...], ...]
    replaced: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def alignment(first: GradGraph, second: GradGraph, leaves: PairedLeaves) -> Alignment | None:
    """None where what both have reads other values, or runs in another order alone, or they have no leaf in common.

    Args:
        first, second: two graphs.
        leaves: those that both have. Where one has others beside these, calls are told apart by the leaves that they read.
    """
    is_whole = leaves.is_whole
    if not is_whole and not leaves.pairs:
        return None
    keys = _Keys(first, second, leaves)
    found = _lined_up(first, second, leaves, keys)
    if is_whole and not (found.only_first or found.only_second or found.replaced):
        return None
    if not _reads_alike(first, second, found):
        keys.tell_constants_apart(found.pairs)
        found = _lined_up(first, second, leaves, keys)
    return found if not _is_reordered(first, second, found, keys) and _reads_alike(first, second, found) else None


def _lined_up(first: GradGraph, second: GradGraph, leaves: PairedLeaves, keys: _Keys) -> Alignment:
    """The leaves, and all other nodes by their keys."""
    left, right = not_leaves(first, leaves.first), not_leaves(second, leaves.second)
    opcodes = [*runs([keys.first(node) for node in left], [keys.second(node) for node in right])]
    pairs = [*leaves.pairs]
    for tag, start, stop, start_there, stop_there in opcodes:
        if tag == "equal":
            pairs += zip(left[start:stop], right[start_there:stop_there], strict=True)
    told = [(tag, tuple(left[start:stop]), tuple(right[at:end])) for tag, start, stop, at, end in opcodes]
    return Alignment(
        pairs=tuple(sorted(pairs)),
        only_first=tuple(run for tag, run, _ in told if tag == "delete"),
        only_second=tuple(run for tag, _, run in told if tag == "insert"),
        replaced=tuple((run, other) for tag, run, other in told if tag == "replace"),
    )


def before(graph: GradGraph, node: int, common: Collection[int]) -> int | None:
    """The node that both graphs have whose value comes to a node first: itself, or what calls in between were made of.

    A weight or a constant only where no call is among them.
    """
    found = anchors(graph, node, common)
    return next((one for one in found if graph.nodes[one]["kind"] == "op"), next(iter(found), None))


def anchors(graph: GradGraph, node: int, common: Collection[int]) -> dict[int, None]:
    """All nodes that both graphs have whose values come to a node, by calls in between alone; the nearest first."""
    seen, pending, found = {node}, [node], dict[int, None]()
    while pending:
        node = pending.pop()
        if node in common:
            found[node] = None
            continue
        tails = [use.edge[0] for use in reversed(graph.arguments_of(node)) if use.edge[0] not in seen]
        seen.update(tails)
        pending += tails
    return found


class _Keys:
    """What the nodes of two graphs are known again by."""

    def __init__(self, first: GradGraph, second: GradGraph, leaves: PairedLeaves) -> None:
        self._graphs = first, second
        self._place_of = _place_of(first, second, leaves.pairs)
        of_first: dict[int, Hashable] = {node: ("first", node) for node in leaves.first.values()}
        of_second: dict[int, Hashable] = {node: ("second", node) for node in leaves.second.values()}
        of_second |= {other: of_first[one] for one, other in leaves.pairs}
        self._leaf: tuple[dict[int, Hashable], ...] = ({}, {}) if leaves.is_whole else (of_first, of_second)
        self._read_by: tuple[dict[int, Hashable], ...] = ({}, {})

    def first(self, node: int) -> Key:
        """Of a node of the first graph."""
        return self._key(0, node)

    def second(self, node: int) -> Key:
        """Of a node of the second graph."""
        return self._key(1, node)

    def tell_constants_apart(self, pairs: Iterable[tuple[int, int]]) -> None:
        """From here on constants are known again by the first of these calls that reads them in both, and where it does.

        The running mean, the mask or the empty cache of one layer looks like that of any other.
        """
        for number, pair in enumerate(pairs):
            here, there = (dict(_constants(graph, call)) for graph, call in zip(self._graphs, pair, strict=True))
            for place in here.keys() & there.keys():
                if here[place] not in self._read_by[0] and there[place] not in self._read_by[1]:
                    self._read_by[0][here[place]] = self._read_by[1][there[place]] = (number, place)

    def _key(self, which: int, node: int) -> Key:
        graph, leaf = self._graphs[which], self._leaf[which]
        data = graph.nodes[node]
        if node in self._read_by[which]:
            return data["kind"], data["op"], data["shape"], "", self._read_by[which][node]
        read = tuple(leaf[use.edge[0]] for use in graph.arguments_of(node) if use.edge[0] in leaf) if leaf else ()
        return data["kind"], data["op"], data["shape"], self._place_of(data["module"]), read


def _constants(graph: GradGraph, call: int) -> Iterator[tuple[int, int]]:
    """Argument position and node of the constants that a call reads."""
    uses = ((use.edge[2], use.edge[0]) for use in graph.arguments_of(call))
    return ((place, tail) for place, tail in uses if graph.nodes[tail]["kind"] == "constant")


def _is_reordered(first: GradGraph, second: GradGraph, found: Alignment, keys: _Keys) -> bool:
    """Whether calls run earlier in one that read the same in both: these are no calls more, nor in another place."""
    partner = dict(found.pairs)
    here, there = set(partner), set(partner.values())
    ones = [*found.only_first, *(run for run, _ in found.replaced)]
    others = [*found.only_second, *(run for _, run in found.replaced)]
    placed = {(tuple(map(keys.second, run)), frozenset(anchors(second, run[-1], there))) for run in others}
    mapped = ((run, frozenset(partner[node] for node in anchors(first, run[-1], here))) for run in ones)
    return any((tuple(map(keys.first, run)), read) in placed for run, read in mapped)


def _place_of(first: GradGraph, second: GradGraph, leaves: Pairs) -> Callable[[str], str]:
    """What of a module's name says in both graphs where it stands: nothing where they have no module in common.

    Of a container whose layers are called otherwise in the other graph, all are in the same place: its own.
    """
    if not _modules(first) & _modules(second):
        return lambda module: ""
    split = ((one.split("."), other.split(".")) for one, other in renamed_leaves(first, second, leaves))
    containers = {tuple(_alike(one, other)) for one, other in split}
    if not containers:
        return lambda module: module

    def place(module: str) -> str:
        parts = module.split(".")
        known = (size for size in range(len(parts)) if tuple(parts[:size]) in containers)
        return ".".join(parts[: next(known, len(parts))])

    return place


def _alike(one: Sequence[str], other: Sequence[str]) -> Iterator[str]:
    """What two sequences begin with alike."""
    for left, right in zip(one, other, strict=False):
        if left != right:
            return
        yield left


def _modules(graph: GradGraph) -> set[str]:
    return {module for _, module in graph.nodes(data="module") if module}


def not_leaves(graph: GradGraph, leaves: Leaves) -> list[int]:
    """Other constants and what calls made, in forward order."""
    known = set(leaves.values())
    return [node for node in graph if node not in known]


def _reads_alike(first: GradGraph, second: GradGraph, found: Alignment) -> bool:
    partner = dict(found.pairs)
    here, there = set(partner), set(partner.values())
    for one, other in found.pairs:
        reads = [(use.edge[2], before(first, use.edge[0], here)) for use in first.arguments_of(one)]
        counterparts = [(use.edge[2], before(second, use.edge[0], there)) for use in second.arguments_of(other)]
        if [(place, None if tail is None else partner[tail]) for place, tail in reads] != counterparts:
            return False
    return True
