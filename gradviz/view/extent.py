"""Shapes and arrows of a view -> about how much room each takes, in points, by counting letters and lines.

Graphviz measures when it draws; what is decided before need not be exact. The numbers are those of the light theme; in
another one letters, heat maps and distances grow, each by a factor of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from gradviz.view.model import Gap, ViewEdge, ViewGroup, ViewNode
from gradviz.view.summary import HeatMap

NAME, SMALL, EDGE, NOTE = 13.0, 11.05, 11.0, 10.0
"""Font sizes: of names, of a tensor's description, on arrows, below the picture."""
LETTER = 0.57
"""The width of a letter in the mean, as a share of the font size."""
LINE = 1.22
"""The height of a line, as a share of the font size."""
CELL = 2.0
"""Above and below each line of a label."""
MARGIN_ACROSS, MARGIN_DOWN = 17.0, 8.0
ELLIPSE = math.sqrt(2)
"""How much larger an ellipse is than the label in it."""
HEAT_LENGTH = 96.0
"""The longer side of a heat map, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Width and height, in points."""

    width: float
    height: float


def extent_of(shape: ViewNode | ViewGroup | Gap) -> Extent:
    """The room that a shape takes."""
    if isinstance(shape, Gap):
        return _of_lines([(shape.text, NAME)])
    if isinstance(shape, ViewGroup):
        title = f"{shape.count} × {shape.title}" if shape.count > 1 else shape.title
        lines = [(line, NAME) for line in (title, *shape.gradient, *shape.trouble)]
        return _framed(_of_lines([*lines, *((line, SMALL) for line in shape.lines)]))
    label = _of_lines(list(_node_lines(shape)))
    if shape.heat:
        heat = _heat_extent(shape.heat)
        label = Extent(width=max(label.width, heat.width), height=label.height + heat.height)
    if shape.role == "leaf":
        return Extent(width=ELLIPSE * label.width + CELL, height=ELLIPSE * label.height + CELL)
    return _framed(label)


def label_extent(edge: ViewEdge) -> Extent | None:
    """The room that an arrow's label takes; None where it has none."""
    reason = f"cut: {edge.cut}" if edge.cut not in ("", "constant") else ""
    lines = (edge.text, edge.flow, edge.correction, *edge.trouble, edge.contribution, reason)
    return _of_lines([(line, EDGE) for line in lines if line]) if any(lines) else None


def notes_extent(notes: Iterable[str]) -> Extent:
    """The room that the notes below the picture take."""
    return _of_lines([(note, NOTE) for note in notes])


def _node_lines(node: ViewNode) -> Iterable[tuple[str, float]]:
    beside = node.value[0] if len(node.value) == 1 and not node.call else ""
    yield " = ".join(part for part in (node.name, node.call or beside) if part), NAME
    if not beside:
        yield from ((line, NAME if len(node.value) == 1 else SMALL) for line in node.value)
    yield from ((line, NAME) for line in (node.cotangent, *node.trouble) if line)
    if node.hidden_inputs:
        yield "⋯ 9 inputs not shown", SMALL


def _of_lines(lines: list[tuple[str, float]]) -> Extent:
    width = max((len(line) * LETTER * size for line, size in lines), default=0.0)
    return Extent(width=width, height=sum(LINE * size + CELL for _, size in lines))


def _framed(label: Extent) -> Extent:
    return Extent(width=label.width + MARGIN_ACROSS, height=label.height + MARGIN_DOWN)


def _heat_extent(heat: HeatMap) -> Extent:
    side = max(3, min(12, math.ceil(HEAT_LENGTH / max(heat.rows, heat.columns))))
    return Extent(width=heat.columns * side + CELL, height=heat.rows * side + 2 * CELL)
