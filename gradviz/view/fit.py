"""A view whose picture would be far larger than a screen -> the same, as it is read best.

It may turn upright, be broken into columns, say once what is drawn several times, or go without its heat maps; a note tells
what is left out. What is legible as it is stays so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from gradviz.view.boxes import contents
from gradviz.view.columns import carried, divisions
from gradviz.view.extent import Extent, extent_of, label_extent, notes_extent
from gradviz.view.model import Direction, Gap, View, ViewGroup, ViewNode
from gradviz.view.ranks import Arrow, rows
from gradviz.view.summary import HEAT_NOTE, NO_HEAT_NOTE

SCREEN = Extent(width=1500, height=1100)
"""What a picture is read on, in points at full size."""
SLIDE = Extent(width=1600, height=900)
TURNED = 1.2
"""How much larger the letters of a picture become on a slide where it is worth to turn it upright."""
LEGIBLE = 0.64
"""Letters of a smaller share of their size are hard to read: names of 8 pixels, what is on arrows of 7."""
SCREENS = 2
"""So many screens, one below the other, are read by scrolling; nobody scrolls to the right."""
LONGEST = 5.0
"""How many times longer than wide a picture in groups may be."""
PER_COLUMN = 0.95
"""What a picture loses with each column more: the eye has to jump."""
WITHOUT_HEAT = 0.9
"""What a picture loses without its heat maps."""
LONGER = 1.05
"""How much longer a picture is drawn than its rows are together."""
WIDER, COLUMN_WIDER = 1.25, 1.05
"""How much wider it is drawn than its widest row: shapes that follow each other stand in a line; a column is kept narrow."""
ROW_GAP, NODE_GAP, COLUMN_GAP, THREAD = 25.0, 22.0, 40.0, 12.0
"""Between rows, neighbours and columns; what an arrow takes that passes a row."""
MIN_COPIES = 4
"""Fewer shapes that say again what another says are not in the way."""
TOLD_ONCE_NOTE = "what is drawn once per use is described where it is drawn first"
TAG = Extent(width=170, height=18)
"""Where a value goes on in another column."""
HEADING = 20.0
"""The height of a column's number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to draw a picture."""

    direction: Direction
    columns: tuple[tuple[str, ...], ...] = ()
    with_heat: bool = True


def fitted(view: View, *, may_leave_out: bool) -> View:
    """The view as it is read best.

    Args:
        view: as it is drawn where there is room enough.
        may_leave_out: whether heat maps may be left out, and what is said twice.
    """
    room = _Room(view)
    now = _Way(direction=_of_slide(room) if view.theme == "slides" else view.direction)
    view = replace(view, direction=now.direction)
    is_strip = bool(view.groups) and room.length(now) > LONGEST
    if room.scale(now) >= LEGIBLE and not is_strip:
        return view
    if may_leave_out and (told_once := _told_once(view)) != view:
        return fitted(told_once, may_leave_out=True)
    ways = [now, *room.upright(with_heat=True)]
    if may_leave_out and any(node.heat for node in view.nodes) and max(map(room.scale, ways)) < LEGIBLE:
        ways += room.upright(with_heat=False)
    best = max(ways, key=room.worth)
    changed = replace(view, direction=best.direction, columns=best.columns)
    return changed if best.with_heat else _without_heat(changed)


def in_columns(view: View, screen: Extent) -> View:
    """The view from the bottom up, in the columns that leave least to scroll.

    Args:
        view: as it is drawn in one column; one that fits on the screen stays so.
        screen: as many points as can be read on it beside each other and below each other.
    """
    room = _Room(view)
    ways = {way: room.size(way) for way in room.upright(with_heat=True)}
    one = next(iter(ways))
    if ways[one].height <= screen.height:
        return view
    beside = [way for way, size in ways.items() if way is one or size.width <= screen.width]
    best = min(beside, key=lambda way: max(ways[way].height, screen.height) / PER_COLUMN ** len(way.columns))
    return replace(view, direction=best.direction, columns=best.columns)


def _of_slide(room: _Room) -> Direction:
    """The direction of a picture that is to fill a slide: upright where that makes the letters much larger."""
    sizes = {direction: room.size(_Way(direction=direction)) for direction in ("LR", "BT")}
    scale = {direction: min(SLIDE.width / size.width, SLIDE.height / size.height) for direction, size in sizes.items()}
    return "BT" if scale["BT"] >= TURNED * scale["LR"] else room.view.direction


def estimated(view: View) -> Extent:
    """About how large the picture of a view is, with its notes."""
    return _Room(view).size(_Way(direction=view.direction, columns=view.columns))


def reading_scale(view: View) -> float:
    """About the scale at which the picture of a view is read, where the page scrolls down; at most 1."""
    size = estimated(view)
    return min(1.0, SCREEN.width / size.width, SCREENS * SCREEN.height / size.height)


def _told_once(view: View) -> View:
    """Of what is drawn several times only the first shape says more than its name and a single number."""
    first: dict[int, str] = {}
    for node in view.nodes:
        first.setdefault(node.node, node.id)
    copies = {node.id for node in view.nodes if node.id != first[node.node] and len(node.value) > 1}
    if len(copies) < MIN_COPIES:
        return view
    bare = (replace(node, value=(), heat=None, call="", cotangent="") if node.id in copies else node for node in view.nodes)
    return replace(view, nodes=tuple(bare), notes=(*view.notes, TOLD_ONCE_NOTE))


def _without_heat(view: View) -> View:
    nodes = tuple(replace(node, heat=None) for node in view.nodes)
    notes = tuple(NO_HEAT_NOTE if note == HEAT_NOTE else note for note in view.notes)
    return replace(view, nodes=nodes, notes=notes)


class _Room:
    """How much room a view takes, in one way or another."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.shapes = view.shapes
        shapes: list[ViewNode | ViewGroup | Gap] = [*view.nodes, *view.groups, *view.gaps]
        self.with_heat = {shape.id: extent_of(shape) for shape in shapes}
        bare = {node.id: extent_of(replace(node, heat=None)) for node in view.nodes if node.heat}
        self.without_heat = {**self.with_heat, **bare}
        self.arrows = view.arrows
        self.labels = [label_extent(edge) for edge in view.edges]
        self.labels += [None] * (len(self.arrows) - len(self.labels))

    def upright(self, *, with_heat: bool) -> Iterator[_Way]:
        """The picture from the bottom up, in one column and in several."""
        yield _Way(direction="BT", with_heat=with_heat)
        sizes = self.with_heat if with_heat else self.without_heat
        heights = {shape: size.height + ROW_GAP for shape, size in sizes.items()}
        for columns in divisions(self.shapes, self.arrows, heights, contents(self.view.boxes).values()):
            yield _Way(direction="BT", columns=columns, with_heat=with_heat)

    def worth(self, way: _Way) -> float:
        """The scale at which it fits on a screen, less what is lost."""
        lost = (PER_COLUMN ** max(len(way.columns) - 1, 0)) * (1 if way.with_heat else WITHOUT_HEAT)
        return self.scale(way) * lost * min(1.0, LONGEST / self.length(way))

    def length(self, way: _Way) -> float:
        """How many times longer than wide the picture is, or wider than long."""
        size = self.size(way)
        return max(size.width / size.height, size.height / size.width)

    def scale(self, way: _Way) -> float:
        """The scale at which the picture fits on a screen; at most 1."""
        size = self.size(way)
        return min(1.0, SCREEN.width / size.width, SCREEN.height / size.height)

    def size(self, way: _Way) -> Extent:
        """The whole picture with its notes."""
        sizes = self.with_heat if way.with_heat else self.without_heat
        parts = [part.size(sizes, way.direction) for part in self._parts(way.columns or (self.shapes,))]
        notes = notes_extent(self.view.notes)
        wider = 1.0 if way.direction == "LR" else COLUMN_WIDER if way.columns else WIDER
        width = wider * sum(part.width for part in parts) + COLUMN_GAP * (len(parts) - 1)
        height = max(part.height for part in parts) + (HEADING if way.columns else 0.0)
        return Extent(width=max(width, notes.width), height=height + notes.height)

    def _parts(self, columns: Sequence[Sequence[str]]) -> list[_Part]:
        """What each column holds, with what stands there for a value of another one."""
        column = {shape: place for place, members in enumerate(columns) for shape in members}
        parts = [_Part(shapes=list(members)) for members in columns]
        for (tail, head), label in zip(self.arrows, self.labels, strict=True):
            part = parts[column[head]]
            part.add((tail, head) if column[tail] == column[head] else (f"from {tail}", head), label)
        for value in carried(columns, self.arrows):
            parts[value.column].add((value.shape, f"{value.shape} goes on"), None)
        return parts


class _Part:
    """Shapes and labelled arrows that are laid out together."""

    def __init__(self, shapes: list[str]) -> None:
        self.shapes = dict.fromkeys(shapes)
        self.arrows: list[Arrow] = []
        self.labels: list[Extent | None] = []

    def add(self, arrow: Arrow, label: Extent | None) -> None:
        self.shapes |= dict.fromkeys(arrow)
        self.arrows.append(arrow)
        self.labels.append(label)

    def size(self, sizes: Mapping[str, Extent], direction: Direction) -> Extent:
        """About as large as Graphviz draws it: between two rows of shapes there is one for labels."""
        row = rows(list(self.shapes), self.arrows)
        first = min(row.values())
        place = {shape: 2 * (number - first) for shape, number in row.items()}
        along = [0.0] * (max(place.values()) + 1)
        across = [0.0] * len(along)
        threads = [0] * (len(along) + 1)
        for shape, line in place.items():
            _add(along, across, line, sizes.get(shape, TAG), direction)
        for (tail, head), label in zip(self.arrows, self.labels, strict=True):
            before, after = sorted((place[tail], place[head]))
            if label:
                _add(along, across, (before + after) // 2, label, direction)
            threads[min(before + 1, after)] += 1
            threads[after] -= 1
        wide = max(room + THREAD * passing for room, passing in zip(across, accumulate(threads), strict=False))
        length = LONGER * (sum(along) + ROW_GAP * (len(along) // 2))
        return Extent(width=length, height=wide) if direction == "LR" else Extent(width=wide, height=length)


def _add(along: list[float], across: list[float], line: int, size: Extent, direction: Direction) -> None:
    """Puts something on a line of the picture: a row of shapes or of labels."""
    length, breadth = (size.width, size.height) if direction == "LR" else (size.height, size.width)
    along[line] = max(along[line], length)
    across[line] += breadth + NODE_GAP
