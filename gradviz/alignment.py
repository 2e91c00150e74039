"""Two graphs of which one has calls more, or others in their place -> which nodes of the one are which of the other.

Nodes are lined up by what they are, in forward order, as lines of two texts are: with as few calls left over as can be
(Myers, "An O(ND) difference algorithm and its variations", 1986). That counts only where every call that both have reads the
same in both, once what was put in between is left out; else nobody can say which of several calls that look alike is which.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass

from gradviz.graph import GradGraph

Key = tuple[str, str, object, str]
Run = tuple[str, int, int, int, int]
"""What happens ("equal", "delete", "insert" or "replace"), and from where to where in the first and in the second."""
MOST_EDITS = 2000
"""Behind so many calls that one graph alone has, the rest counts as other code: time and memory grow as the square."""


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


def alignment(first: GradGraph, second: GradGraph) -> Alignment | None:
    """None where what both have reads other values, or runs in another order alone, or their leaves differ."""
    pairs = paired_leaves(first, second)
    if not len(pairs) == len(first.leaves) == len(second.leaves):
        return None
    place_of = _place_of(first, second)
    left, right = not_leaves(first), not_leaves(second)
    here, there = ([_key(graph, node, place_of) for node in nodes] for graph, nodes in ((first, left), (second, right)))
    opcodes = [*_runs(here, there)]
    if all(tag == "equal" for tag, *_ in opcodes):
        return None
    for tag, start, stop, start_there, stop_there in opcodes:
        if tag == "equal":
            pairs += zip(left[start:stop], right[start_there:stop_there], strict=True)
    runs = [(tag, tuple(left[start:stop]), tuple(right[at:end])) for tag, start, stop, at, end in opcodes]
    found = Alignment(
        pairs=tuple(sorted(pairs)),
        only_first=tuple(run for tag, run, _ in runs if tag == "delete"),
        only_second=tuple(run for tag, _, run in runs if tag == "insert"),
        replaced=tuple((run, other) for tag, run, other in runs if tag == "replace"),
    )
    is_reordered = _is_reordered(first, second, found, place_of)
    return found if not is_reordered and _reads_alike(first, second, found) else None


def paired_leaves(first: GradGraph, second: GradGraph) -> list[tuple[int, int]]:
    """Leaves by their names; in their order where these differ in the numbers of layers alone, and no shape differs.

    A layer put into an `nn.Sequential` renumbers all that come after it, and with them their parameters.
    """
    if set(first.leaves) != set(second.leaves) and _without_numbers(first) == _without_numbers(second):
        return [*zip(first.leaves.values(), second.leaves.values(), strict=True)]
    return [(node, second.leaves[name]) for name, node in first.leaves.items() if name in second.leaves]


def _without_numbers(graph: GradGraph) -> list[tuple[list[str], object]]:
    """The leaves in their order: names without the numbers of layers, and shapes."""
    return [
        ([part for part in name.split(".") if not part.isdigit()], graph.nodes[node]["shape"])
        for name, node in graph.leaves.items()
    ]


def renamed_leaves(first: GradGraph, second: GradGraph) -> list[tuple[str, str]]:
    """What leaves that both have are called in the first and in the second, where that is not the same."""
    names = ([str(graph.nodes[node]["name"]) for graph, node in zip((first, second), pair, strict=True)]
             for pair in paired_leaves(first, second))  # fmt: skip
    return [(one, other) for one, other in names if one != other]


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


def _is_reordered(first: GradGraph, second: GradGraph, found: Alignment, place_of: Callable[[str], str]) -> bool:
    """Whether calls run earlier in one that read the same in both: these are no calls more, nor in another place."""
    partner = dict(found.pairs)
    here, there = set(partner), set(partner.values())
    ones = [*found.only_first, *(run for run, _ in found.replaced)]
    others = [*found.only_second, *(run for _, run in found.replaced)]

    def told(graph: GradGraph, run: tuple[int, ...]) -> tuple[Key, ...]:
        return tuple(_key(graph, node, place_of) for node in run)

    placed = {(told(second, run), frozenset(anchors(second, run[-1], there))) for run in others}
    mapped = ((run, frozenset(partner[node] for node in anchors(first, run[-1], here))) for run in ones)
    return any((told(first, run), read) in placed for run, read in mapped)


def _runs(here: Sequence[Hashable], there: Sequence[Hashable]) -> Iterator[Run]:
    """What turns one sequence into the other, with the fewest deletions and insertions.

    >>> [*_runs("abab", "abcab")]
    [('equal', 0, 2, 0, 2), ('insert', 2, 2, 2, 3), ('equal', 2, 4, 3, 5)]
    """
    at = at_there = 0
    for one, other, size in _blocks(here, there):
        if one > at or other > at_there:
            tag = "insert" if one == at else "delete" if other == at_there else "replace"
            yield tag, at, one, at_there, other
        if size:
            yield "equal", one, one + size, other, other + size
        at, at_there = one + size, other + size


def _blocks(here: Sequence[Hashable], there: Sequence[Hashable]) -> list[tuple[int, int, int]]:
    """Places in the first and in the second where as many entries are the same; in order, with an empty one at the end."""
    numbers: dict[Hashable, int] = {}
    left, right = ([numbers.setdefault(key, len(numbers)) for key in keys] for keys in (here, there))
    rows = _furthest(left, right)
    blocks = [(len(left), len(right), 0)]
    ends = ((at, at + len(rows) - 1 - 2 * place, place) for place, at in enumerate(rows[-1]))
    within = (end for end in ends if end[0] <= len(left) and end[1] <= len(right))
    one, other, place = max(within, key=lambda end: end[0] + end[1])
    for before in reversed(rows[:-1]):
        is_insertion = _is_insertion(before, place)
        size = one - (before[place] if is_insertion else before[place - 1] + 1)
        one, other = one - size, other - size
        blocks += [(one, other, size)] if size else []
        one, other, place = (one, other - 1, place) if is_insertion else (one - 1, other, place - 1)
    return [*([(0, 0, one)] if one else []), *reversed(blocks)]


def _furthest(left: Sequence[int], right: Sequence[int]) -> list[array[int]]:
    """How far into the first one gets with each number of edits, by how many of these are deletions.

    It ends where both are read to their ends, or at `MOST_EDITS`.
    """
    rows: list[array[int]] = []
    for edits in range(MOST_EDITS + 1):
        row = array("q")
        for deletions in range(edits + 1):
            at, shift = 0, edits - 2 * deletions
            if rows:
                is_insertion = _is_insertion(rows[-1], deletions)
                at = rows[-1][deletions] if is_insertion else rows[-1][deletions - 1] + 1
            while at < len(left) and at + shift < len(right) and left[at] == right[at + shift]:
                at += 1
            row.append(at)
            if at == len(left) and at + shift == len(right):
                return [*rows, row]
        rows.append(row)
    return rows


def _is_insertion(before: array[int], deletions: int) -> bool:
    """Whether the last of some edits is best an insertion, of which one gets so far with one edit less."""
    return deletions == 0 or (deletions < len(before) and before[deletions - 1] < before[deletions])


def _place_of(first: GradGraph, second: GradGraph) -> Callable[[str], str]:
    """What of a module's name says in both graphs where it stands: nothing where they have no module in common.

    Of a container whose layers are called otherwise in the other graph, all are in the same place: its own.
    """
    if not _modules(first) & _modules(second):
        return lambda module: ""
    split = ((one.split("."), other.split(".")) for one, other in renamed_leaves(first, second))
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


def not_leaves(graph: GradGraph) -> list[int]:
    """Constants and what calls made, in forward order."""
    leaves = set(graph.leaves.values())
    return [node for node in graph if node not in leaves]


def _key(graph: GradGraph, node: int, place_of: Callable[[str], str]) -> Key:
    data = graph.nodes[node]
    return data["kind"], data["op"], data["shape"], place_of(data["module"])


def _reads_alike(first: GradGraph, second: GradGraph, found: Alignment) -> bool:
    partner = dict(found.pairs)
    here, there = set(partner), set(partner.values())
    for one, other in found.pairs:
        reads = [(use.edge[2], before(first, use.edge[0], here)) for use in first.arguments_of(one)]
        counterparts = [(use.edge[2], before(second, use.edge[0], there)) for use in second.arguments_of(other)]
        if [(place, None if tail is None else partner[tail]) for place, tail in reads] != counterparts:
            return False
    return True
