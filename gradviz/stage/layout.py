"""A sketch -> places on the page, in pixels: Graphviz lays it out once, in the drawing process.

Each run of text has a slot of its own, as wide as the longest text that ever stands there. Where a row of a node holds
one run, its text is centred; where it holds several they start at fixed places, so that nothing shifts when the last of
them changes (`look` moves a row once, when the last of them appears).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from gradviz.render import draw
from gradviz.stage.font import text_width
from gradviz.stage.sketch import EDGE_SIZE, NODE_SIZE, Sketch
from gradviz.stage.texts import Line, Part

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle; y grows downwards."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def middle(self) -> Point:
        return self.left + self.width / 2, self.top + self.height / 2

    @property
    def corners(self) -> tuple[Point, ...]:
        """Clockwise from the left at the top."""
        return (self.left, self.top), (self.right, self.top), (self.right, self.bottom), (self.left, self.bottom)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where one run of text stands.

    Attributes:
        part: what the text is.
        left, baseline: where it begins.
        width: the room that is kept.
        size: of the font.
        centred: whether a shorter text stands in the middle of the room, else it begins at `left`.
    """

    part: Part
    left: float
    baseline: float
    width: float
    size: float
    centred: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlace:
    """One node of the picture: its shape's box, and a slot for each run of text on it, in reading order."""

    id: str
    box: Box
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowPlace:
    """One arrow of the picture.

    Attributes:
        id: of the edge.
        curve: control points of cubic Bézier curves, from the tail to the head, without the arrowheads.
        tail_tip, head_tip: the corners of an arrowhead at either end; its tip comes second.
        slots: where its label stands, if it has one.
    """

    id: str
    curve: tuple[Point, ...]
    tail_tip: tuple[Point, ...]
    head_tip: tuple[Point, ...]
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where everything stands. Nodes and arrows come in the order of the view.

    Attributes:
        scale: pixels per point of the sketch.
    """

    nodes: tuple[NodePlace, ...]
    arrows: tuple[ArrowPlace, ...]
    scale: float


def laid_out(sketch: Sketch, room: Box, *, largest: float, time_limit_s: float) -> Layout:
    """Lays the sketch out as large as it fits into `room`, in its middle, with no text above `largest` pixels.

    Raises:
        RenderError: the time is over, or Graphviz refused.
    """
    drawn = json.loads(draw(sketch.source, "json", time_limit_s=time_limit_s))
    page = _Page(drawn, room, largest)
    nodes = {entry["id"]: entry for entry in drawn.get("objects", ())}
    arrows = {entry["id"]: entry for entry in drawn.get("edges", ())}
    return Layout(
        nodes=tuple(page.node(nodes[node], lines) for node, lines in sketch.nodes.items()),
        arrows=tuple(page.arrow(arrows[edge], lines) for edge, lines in sketch.edges.items()),
        scale=page.scale,
    )


class _Page:
    """Graphviz's points, with y upwards, -> pixels on the page."""

    def __init__(self, drawn: dict[str, Any], room: Box, largest: float) -> None:
        points = [point for entry in (*drawn.get("objects", ()), *drawn.get("edges", ())) for point in _extent(entry)]
        left, right = min(x for x, _ in points), max(x for x, _ in points)
        low, high = min(y for _, y in points), max(y for _, y in points)
        self.scale = min(room.width / (right - left), room.height / (high - low), largest / NODE_SIZE)
        middle_x, middle_y = room.middle
        self.shift_x = middle_x - self.scale * (left + right) / 2
        self.shift_y = middle_y + self.scale * (low + high) / 2

    def point(self, found: Sequence[float]) -> Point:
        return self.shift_x + self.scale * found[0], self.shift_y - self.scale * found[1]

    def node(self, entry: dict[str, Any], lines: list[Line]) -> NodePlace:
        corners = [self.point(corner) for corner in _outline(entry)]
        left, top = min(x for x, _ in corners), min(y for _, y in corners)
        width, height = max(x for x, _ in corners) - left, max(y for _, y in corners) - top
        box = Box(left=left, top=top, width=width, height=height)
        return NodePlace(id=entry["id"], box=box, slots=self.slots(entry, lines, NODE_SIZE))

    def arrow(self, entry: dict[str, Any], lines: list[Line]) -> ArrowPlace:
        return ArrowPlace(
            id=entry["id"],
            curve=tuple(self.point(point) for point in _points(entry, "_draw_", "b")),
            tail_tip=tuple(self.point(point) for point in _points(entry, "_tdraw_", "P")),
            head_tip=tuple(self.point(point) for point in _points(entry, "_hdraw_", "P")),
            slots=self.slots(entry, lines, EDGE_SIZE),
        )

    def slots(self, entry: dict[str, Any], lines: list[Line], size: float) -> tuple[Slot, ...]:
        """A slot for each run; Graphviz says where a row stands, the font how wide each run is."""
        texts = (op for op in entry.get("_ldraw_", ()) if op["op"] == "T")
        drawn = [list(row) for _, row in groupby(texts, key=lambda op: op["pt"][1])]
        written = [list(row) for _, row in groupby(lines, key=lambda line: line.row)]
        return tuple(slot for ops, runs in zip(drawn, written, strict=True) for slot in self.row(ops, runs, size))

    def row(self, ops: list[dict[str, Any]], runs: list[Line], size: float) -> Iterator[Slot]:
        """The slots of one row, around its middle."""
        middle = (ops[0]["pt"][0] + ops[-1]["pt"][0] + ops[-1]["width"]) / 2
        widths = [text_width(run.text, size, bold=run.part == "name") for run in runs]
        for place, run in enumerate(runs):
            text = run.text.lstrip()
            width = text_width(text, size, bold=run.part == "name")
            right = middle - sum(widths) / 2 + sum(widths[: place + 1])
            left, baseline = self.point((right - width, ops[0]["pt"][1]))
            yield Slot(
                part=run.part,
                left=left,
                baseline=baseline,
                width=self.scale * width,
                size=self.scale * size,
                centred=len(runs) == 1,
            )


def _points(entry: dict[str, Any], part: str, kind: str) -> list[list[float]]:
    """The points of the first thing of a kind that Graphviz draws."""
    return next((op["points"] for op in entry.get(part, ()) if op["op"] == kind), [])


def _outline(entry: dict[str, Any]) -> list[list[float]]:
    """The corners of a shape's box, from everything that Graphviz draws for it."""
    corners: list[list[float]] = []
    for op in entry.get("_draw_", ()):
        if "points" in op:
            corners += op["points"]
        if "rect" in op:
            x, y, half_width, half_height = op["rect"]
            corners += [[x - half_width, y - half_height], [x + half_width, y + half_height]]
    return corners


def _extent(entry: dict[str, Any]) -> list[list[float]]:
    """Points between which everything of a node or an edge lies."""
    corners = _outline(entry)
    for part in ("_hdraw_", "_tdraw_"):
        corners += _points(entry, part, "P")
    for op in entry.get("_ldraw_", ()):
        if op["op"] == "T":
            x, y = op["pt"]
            corners += [[x, y - 0.3 * NODE_SIZE], [x + op["width"], y + NODE_SIZE]]
    return corners
