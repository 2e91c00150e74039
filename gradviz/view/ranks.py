"""Shapes and the arrows between them -> the rows in which Graphviz puts them, and the arrows that make up the spine."""

from __future__ import annotations

from collections.abc import Collection, Sequence

Arrow = tuple[str, str]
"""(tail, head), as ids on the picture."""


def rows(shapes: Sequence[str], arrows: Collection[Arrow]) -> dict[str, int]:
    """Shape -> its row: an input lies right before what reads it first, what nothing reads as near to the inputs as it can.

    Args:
        shapes: ids in forward order.
        arrows: one that closes a loop, as between the steps of a loop drawn as one, does not count.

    >>> rows(["x", "y", "a", "b"], [("x", "a"), ("a", "b"), ("y", "b")])
    {'x': 0, 'y': 1, 'a': 1, 'b': 2}
    """
    order, forward = _in_order(shapes, arrows)
    depth = _depths(order, forward)
    heads: dict[str, list[str]] = {}
    for tail, head in forward:
        heads.setdefault(tail, []).append(head)
    found: dict[str, int] = {}
    for shape in reversed(order):
        found[shape] = min((found[head] - 1 for head in heads.get(shape, ())), default=depth[shape])
    return {shape: found[shape] for shape in shapes}


def spine(shapes: Sequence[str], arrows: Collection[Arrow]) -> set[Arrow]:
    """Of the arrows into each shape the one at the end of the longest way there, where there is one, and not from an input.

    >>> sorted(spine(["x", "w", "a", "b"], [("x", "a"), ("a", "b"), ("w", "b")]))
    [('a', 'b')]
    >>> spine(["x", "a", "b", "c"], [("x", "a"), ("x", "b"), ("a", "c"), ("b", "c")])
    set()
    """
    order, forward = _in_order(shapes, arrows)
    depth = _depths(order, forward)
    tails: dict[str, set[str]] = {}
    for tail, head in forward:
        tails.setdefault(head, set()).add(tail)
    found = set()
    for head, several in tails.items():
        deepest = max(depth[tail] for tail in several)
        ends = [tail for tail in several if depth[tail] == deepest > 0]
        found |= {(ends[0], head)} if len(ends) == 1 else set()
    return found


def _in_order(shapes: Sequence[str], arrows: Collection[Arrow]) -> tuple[list[str], list[Arrow]]:
    """The shapes, each after what it reads, and the arrows that go forward in that order."""
    heads: dict[str, list[str]] = {shape: [] for shape in shapes}
    missing = dict.fromkeys(shapes, 0)
    for tail, head in arrows:
        heads[tail].append(head)
        missing[head] += 1
    place: dict[str, int] = {}
    waiting = [shape for shape in reversed(shapes) if not missing[shape]]
    rest = iter(shapes)
    while len(place) < len(heads):
        shape = waiting.pop() if waiting else next(shape for shape in rest if shape not in place)  # the latter: in a loop
        if shape in place:
            continue
        place[shape] = len(place)
        for head in heads[shape]:
            missing[head] -= 1
            if not missing[head]:
                waiting.append(head)
    return list(place), [(tail, head) for tail, head in arrows if place[tail] < place[head]]


def _depths(order: Sequence[str], forward: Collection[Arrow]) -> dict[str, int]:
    """Shape -> the number of arrows on the longest way there."""
    tails: dict[str, list[str]] = {}
    for tail, head in forward:
        tails.setdefault(head, []).append(tail)
    depth: dict[str, int] = {}
    for shape in order:
        depth[shape] = max((depth[tail] + 1 for tail in tails.get(shape, ())), default=0)
    return depth
