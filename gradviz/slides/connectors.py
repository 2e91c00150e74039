"""Which arrows of a stage are straight lines from one connection site of a shape to one of another.

Only such a line can be glued to both shapes, so that it follows when a shape is moved, and looks the same in every program.
It must stay clear of everything else on the slide and near its label; an arrow for which no line does is drawn as its curve,
which is not glued. Those are:

- arrows of a fan whose labels stand one above the other, as where eight leaves are stacked: a shape has one site on each
  side, so all lines meet there, and on their way strike through the labels of their neighbours (4 of 9 of such a graph);
- arrows that are led around a shape or a label which stands between their ends;
- arrows between shapes so placed that every line would run along a side that it ends at;
- the second of two arrows between the same shapes, as of x * x: two lines would lie upon each other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from gradviz.stage import Arrow, Box, Painting, Point

CLEAR = 3.0
"""Pixels between a line and what it must not touch."""
NEAR = 50.0
"""Pixels between a line and its own label, at most."""
STEEP = 0.15
"""How far a line leads away from the sides that it ends at, at least, relative to its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """From a site of the tail to a site of the head, each with its number: 0 top, 1 left, 2 bottom, 3 right."""

    start: Point
    end: Point
    start_site: int
    end_site: int


def straight_lines(painting: Painting) -> dict[str, Line]:
    """Arrow -> its line, for those that can have one. `painting` must show all labels, as the last frame does."""
    shapes = {shape.id: shape.box for shape in painting.shapes}
    labels = {text.owner: text.box for text in painting.texts if text.part == "partial"}
    found: dict[str, Line] = {}
    joined: set[frozenset[str]] = set()
    for arrow in painting.arrows:
        own = (arrow.id, arrow.tail, arrow.head)
        others = [box for owner, box in (*shapes.items(), *labels.items()) if owner not in own]
        tail, head = shapes[arrow.tail], shapes[arrow.head]
        pair = frozenset((arrow.tail, arrow.head))
        line = next((line for line in _lines(arrow, tail, head) if _fits(line, others, labels.get(arrow.id))), None)
        if line and pair not in joined:
            found[arrow.id] = line
            joined.add(pair)
    return found


def sites(box: Box) -> tuple[Point, ...]:
    """The connection sites of a shape, in the order of their numbers."""
    x, y = box.middle
    return (x, box.top), (box.left, y), (x, box.bottom), (box.right, y)


def _lines(arrow: Arrow, tail: Box, head: Box) -> list[Line]:
    """The lines between two shapes; the one that is nearest to the curve first."""
    start, end = (arrow.tip[1], arrow.curve[-1]) if arrow.backward else (arrow.curve[0], arrow.tip[1])
    lines = [
        Line(start=one, end=other, start_site=place, end_site=other_place)
        for (place, one), (other_place, other) in product(enumerate(sites(tail)), enumerate(sites(head)))
    ]
    return sorted(lines, key=lambda line: math.dist(line.start, start) + math.dist(line.end, end))


def _fits(line: Line, others: Sequence[Box], label: Box | None) -> bool:
    near = label is None or _meets(line, label, NEAR)
    return near and _leaves(line) and not any(_meets(line, box, CLEAR) for box in others)


def _leaves(line: Line) -> bool:
    """Whether a line goes away from both sides that it ends at, and not along them."""
    (x, y), (to_x, to_y) = line.start, line.end
    length = math.dist(line.start, line.end)
    outward = ((0, -1), (-1, 0), (0, 1), (1, 0))
    out_x, out_y = outward[line.start_site]
    in_x, in_y = outward[line.end_site]
    first, last = out_x * (to_x - x) + out_y * (to_y - y), in_x * (x - to_x) + in_y * (y - to_y)
    return min(first, last) > STEEP * length


def _meets(line: Line, box: Box, margin: float) -> bool:
    """Whether a line comes into a box that is larger by `margin` on every side: what is left of it after each side's cut."""
    (x, y), (to_x, to_y) = line.start, line.end
    begin, end = 0.0, 1.0
    for start, step, low, high in (
        (x, to_x - x, box.left - margin, box.right + margin),
        (y, to_y - y, box.top - margin, box.bottom + margin),
    ):
        if low > high or (step == 0 and not low <= start <= high):
            return False
        if step:
            first, last = sorted(((low - start) / step, (high - start) / step))
            begin, end = max(begin, first), min(end, last)
    return begin <= end
