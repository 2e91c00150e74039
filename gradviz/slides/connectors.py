"""Which arrows of a stage are straight lines from one connection site of a shape to one of another.

Only such a line can be glued to both shapes, so that it follows when a shape is moved, and looks the same in every program.
It must stay clear of everything else on the slide, its own label too: Graphviz put that beside the curve, and where the line
would run under it, it moves to the nearest free place beside the line. An arrow for which no line does is drawn as its
curve, which is not glued. Those are:

- arrows of a fan whose labels stand one above the other, as where eight leaves are stacked: a shape has one site on each
  side, so all lines meet there, and on their way strike through the labels of their neighbours, or leave no room for their
  own (6 of 9 of such a graph);
- arrows that are led around a shape or a label which stands between their ends;
- arrows between shapes so placed that every line would run along a side that it ends at;
- the second of two arrows between the same shapes, as of x * x: two lines would lie upon each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from gradviz.stage import PAGE, Arrow, Box, Painting, Point

CLEAR = 3.0
"""Pixels between a line and what it must not touch."""
BESIDE = 6.0
"""Pixels between a label and the middle of a line, which is thick where the frame is about it."""
NEAR = 50.0
"""Pixels between a line and its own label, at most."""
ALONG = tuple(step / 20 for step in range(1, 20))
"""Where along a line a label is tried, relative to its length."""
STEEP = 0.15
"""How far a line leads away from the sides that it ends at, at least, relative to its length."""


PIECES = 8
"""How many straight pieces stand for a curve where it must not run under a label."""

Segment = tuple[Point, Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """From a site of the tail to a site of the head, each with its number: 0 top, 1 left, 2 bottom, 3 right.

    Attributes:
        label: where the arrow's label stands beside it; None where it has none.
    """

    start: Point
    end: Point
    start_site: int
    end_site: int
    label: Box | None = None

    @property
    def segment(self) -> Segment:
        return self.start, self.end


def straight_lines(painting: Painting) -> dict[str, Line]:
    """Arrow -> its line, for those that can have one. `painting` must show all labels, as the last frame does."""
    shapes = {shape.id: shape.box for shape in painting.shapes}
    labels = {text.owner: text.box for text in painting.texts if text.part == "partial"}
    page = [text.box for text in painting.texts if text.part in ("title", "caption")]
    drawn = {arrow.id: _pieces(arrow) for arrow in painting.arrows}
    found: dict[str, Line] = {}
    joined: set[frozenset[str]] = set()
    for arrow in painting.arrows:
        pair = frozenset((arrow.tail, arrow.head))
        taken = [box for owner, box in labels.items() if owner != arrow.id]
        others = [*taken, *(box for owner, box in shapes.items() if owner not in pair)]
        crossed = [piece for owner, pieces in drawn.items() if owner != arrow.id for piece in pieces]
        label, kept_free = labels.get(arrow.id), [*taken, *shapes.values(), *page]
        clear = (line for line in _lines(arrow, shapes[arrow.tail], shapes[arrow.head]) if _is_clear(line, others))
        placed = clear if label is None else (_with_label(line, label, kept_free, crossed) for line in clear)
        line = next(filter(None, placed), None)
        if line and pair not in joined:
            found[arrow.id] = line
            joined.add(pair)
            drawn[arrow.id] = [line.segment]
            labels |= {arrow.id: line.label} if line.label else {}
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


def _is_clear(line: Line, others: Sequence[Box]) -> bool:
    return _leaves(line) and not any(_meets(line.segment, box, CLEAR) for box in others)


def _with_label(line: Line, label: Box, boxes: Sequence[Box], lines: Sequence[Segment]) -> Line | None:
    """A line with its label at the free place beside it that is nearest to where it stands; None where none is free."""
    places = sorted(_places(line, label), key=lambda place: math.dist(place.middle, label.middle))
    place = next((place for place in places if _is_free(place, [*lines, line.segment], boxes)), None)
    return replace(line, label=place) if place else None


def _places(line: Line, label: Box) -> Iterator[Box]:
    """Where the label stands, if that is near the line, then places that touch its margin on either side."""
    if _meets(line.segment, label, NEAR):
        yield label
    (x, y), (to_x, to_y) = line.segment
    across, down = (to_y - y) / math.dist(line.start, line.end), (x - to_x) / math.dist(line.start, line.end)
    away = (abs(across) * label.width + abs(down) * label.height) / 2 + 1.5 * BESIDE
    for part, side in product(ALONG, (-away, away)):
        middle_x, middle_y = x + part * (to_x - x) + side * across, y + part * (to_y - y) + side * down
        yield replace(label, left=middle_x - label.width / 2, top=middle_y - label.height / 2)


def _is_free(place: Box, lines: Sequence[Segment], boxes: Sequence[Box]) -> bool:
    """Whether nothing is at a place; beside it there is more room, so that no two labels read as one."""
    wide = replace(place, left=place.left - 2 * BESIDE, width=place.width + 4 * BESIDE)
    inside = PAGE.left <= place.left and place.right <= PAGE.right
    if not inside or any(_overlap(wide, box) for box in boxes):
        return False
    return not any(_meets(line, place, BESIDE) for line in lines)


def _overlap(one: Box, other: Box) -> bool:
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


def _pieces(arrow: Arrow) -> list[Segment]:
    """A curve as short straight pieces."""
    curves = (arrow.curve[place : place + 4] for place in range(0, len(arrow.curve) - 1, 3))
    points = [_on_curve(controls, step / PIECES) for controls in curves for step in range(PIECES + 1)]
    return [*pairwise(points), (arrow.tip[0], arrow.tip[2])]


def _on_curve(controls: Sequence[Point], at: float) -> Point:
    weights = [math.comb(3, power) * (1 - at) ** (3 - power) * at**power for power in range(4)]
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, controls, strict=True)) for axis in (0, 1))
    return x, y


def _leaves(line: Line) -> bool:
    """Whether a line goes away from both sides that it ends at, and not along them."""
    (x, y), (to_x, to_y) = line.start, line.end
    length = math.dist(line.start, line.end)
    outward = ((0, -1), (-1, 0), (0, 1), (1, 0))
    out_x, out_y = outward[line.start_site]
    in_x, in_y = outward[line.end_site]
    first, last = out_x * (to_x - x) + out_y * (to_y - y), in_x * (x - to_x) + in_y * (y - to_y)
    return min(first, last) > STEEP * length


def _meets(segment: Segment, box: Box, margin: float) -> bool:
    """Whether a line comes into a box that is larger by `margin` on every side: what is left of it after each side's cut."""
    (x, y), (to_x, to_y) = segment
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
