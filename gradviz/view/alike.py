"""Calls of the same structure -> one group: the blocks of a network, the steps of an unrolled loop.

Two calls are alike where they run the same ops on the same shapes, wired in the same way, under names that differ in their
numbers only. Numbers in tensors do not count.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

from gradviz.recording.scopes import ScopePath
from gradviz.view.wires import Wires

MIN_ROLLED = 3
"""Fewer single ops that are alike, or calls that do not feed each other, are drawn one by one."""
_NUMBER = re.compile(r"\d+")
_COUNTED = re.compile(r"_\d+$")
"""Of modules that no other one holds, the second `Linear` is called linear_2 and the first one linear."""


def alike(
    wires: Wires, calls: Mapping[ScopePath, tuple[int, ...]], hashes: dict[tuple[int, ...], int], *, only_chains: bool
) -> list[list[ScopePath]]:
    """The calls, those that are alike together, in forward order.

    Args:
        wires: of the graph.
        calls: scope -> its ops in forward order.
        hashes: ops -> their `structure`, as far as it is known; grows.
        only_chains: whether only those belong together that feed each other without anything else between, as the blocks of
            a network do; otherwise all, wherever they stand.
    """
    classes: dict[Hashable, list[ScopePath]] = {}
    for call, nodes in calls.items():
        pattern = (call[:-1], _NUMBER.sub("*", _COUNTED.sub("", call[-1].partition("@")[0])))
        if nodes not in hashes:
            hashes[nodes] = structure(wires, nodes)
        classes.setdefault((pattern, hashes[nodes]), []).append(call)
    call_of = {node: call for call, nodes in calls.items() for node in nodes}
    found: list[list[ScopePath]] = []
    for members in classes.values():
        if only_chains:
            found += _chains(wires, members, calls, call_of)
        else:
            found += [members] if len(members) >= MIN_ROLLED else _chains(wires, members, calls, call_of)
    return sorted(found, key=lambda members: calls[members[0]][0])


def rolled(wires: Wires, nodes: Iterable[int]) -> list[list[int]]:
    """Single ops that one line of code ran again and again, on the same shapes, within one scope."""
    classes: dict[Hashable, list[int]] = {}
    for node in nodes:
        attributes = wires.attributes[node]
        if attributes["source"]:
            key = tuple(attributes[name] for name in ("scope", "source", "op", "shape", "requires_grad"))
            classes.setdefault(key, []).append(node)
    return [members for members in classes.values() if len(members) >= MIN_ROLLED]


def structure(wires: Wires, nodes: Sequence[int]) -> int:
    """A hash of the ops, their shapes and how they are wired; the same for calls that are alike.

    Of what is read from outside, the shape counts and not which output it is: the steps of a loop over a tensor read one
    output each of its `unbind`.
    """
    place = {node: index for index, node in enumerate(nodes)}
    lines = []
    for node in nodes:
        attributes = wires.attributes[node]
        inputs = sorted(
            (key, place[tail], data["output"], ()) if tail in place else (key, -1, 0, wires.shape((tail, data["output"])))
            for tail, key, data in wires.into[node]
        )
        lines.append((attributes["op"], attributes["shape"], attributes["dtype"], tuple(inputs)))
    return hash(tuple(lines))


def stretch(names: Collection[str]) -> str:
    """What several calls are called: the first and the last.

    >>> stretch(["h.0"]), stretch(["h.0", "h.1", "h.2"]), stretch(["cell", "cell@2", "cell@3"])
    ('h.0', 'h.0 … 2', 'cell')
    """
    first, *rest = names
    if not rest:
        return first
    last = rest[-1]
    number = last.rpartition(".")[2]
    return first if last.partition("@")[0] == first else f"{first} … {number if number.isdigit() else last}"


def _chains(
    wires: Wires,
    members: Sequence[ScopePath],
    calls: Mapping[ScopePath, Sequence[int]],
    call_of: Mapping[int, ScopePath],
) -> list[list[ScopePath]]:
    """The members, those of which one feeds the next together."""
    chains: list[list[ScopePath]] = []
    for member in members:
        feeding = {call_of.get(tail) for node in calls[member] for tail, _, _ in wires.into[node]}
        if chains and chains[-1][-1] in feeding:
            chains[-1].append(member)
        else:
            chains.append([member])
    return chains
