"""What is written on nodes and arrows: parts of a view that stay, values that change from step to step, cotangents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradviz.explain.wanted import loss_name
from gradviz.frames import Frame, Frames
from gradviz.render.dot import one_line
from gradviz.stage.font import text_width
from gradviz.view import View, ViewEdge, ViewNode
from gradviz.view.notation import derivative_text, shorten
from gradviz.view.summary import cotangent_text

Part = Literal["name", "call", "value", "cotangent", "partial"]
MORE = " + …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """How much is written, and how.

    Attributes:
        labels: what stands at an arrow.
        lines: how many lines of a value are written.
        in_one_row: a node's texts stand beside each other, so that many nodes fit one above the other.
        name_length: longer names are shortened.
        norms: a cotangent with several elements shows its norm, even where it could be written out.
    """

    labels: Literal["all", "number", "none"] = "all"
    lines: int = 4
    in_one_row: bool = False
    name_length: int = 28
    norms: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One run of text: the row that it stands in, what it is, and what it says."""

    row: int
    part: Part
    text: str


def node_lines(node: ViewNode, density: Density) -> list[Line]:
    """Everything on a node but its cotangent: the name with its call or number, then what describes the value."""
    values = node.value[: density.lines]
    scalar = len(node.value) == 1 and bool(values)
    lines = [_line(0, "name", shorten(node.name, density.name_length))]
    if node.call:
        lines.append(_line(0, "call", f" = {node.call}"))
    if scalar and (density.in_one_row or not node.call):
        return [*lines, _line(0, "value", f" = {values[0]}")]
    if density.in_one_row:
        return [*lines, *(_line(0, "value", f": {value}") for value in values[:1])]
    return [*lines, *(_line(1 + row, "value", f"= {value}" if scalar else value) for row, value in enumerate(values))]


def edge_text(edge: ViewEdge, density: Density) -> str:
    """The label at an arrow; "" where there is none."""
    if density.labels == "none":
        return ""
    if density.labels == "all":
        return one_line(edge.text)
    number = "" if edge.number == edge.formula else edge.number
    return one_line(edge.jacobian or " = ".join(part for part in (edge.formula, number) if part))


def node_cotangent(frames: Frames, frame: Frame, node: int, *, norms: bool) -> str:
    """The cotangents of a node as far as they have come; "" before the first contribution. `norms` as in `Density`."""
    graph = frames.graphs[frame.step]
    if frame.phase == "forward" or not graph.nodes[node]["requires_grad"]:
        return ""
    loss = loss_name(graph)
    parts = []
    for output in graph.nodes[node]["outputs"]:
        sign = derivative_text(loss, graph.output_name(node, output))
        cotangent = graph.cotangent(node, output)
        if (node, output) in frame.settled and cotangent is not None:
            parts.append(cotangent_text(cotangent, sign, norms=norms))
        elif (node, output) in frame.pending:
            parts.append(cotangent_text(frame.pending[(node, output)], sign, norms=norms) + MORE)
        elif graph.nodes[node]["kind"] == "leaf" and cotangent is None:
            parts.append("no gradient")
    return one_line("   ".join(parts[:3]))


def longest(texts: list[str]) -> str:
    """The text that room is kept for: the widest."""
    return max(texts, key=lambda text: text_width(text, 1), default="")


def room_for_cotangents(frames: Frames, *, norms: bool) -> dict[int, str]:
    """Node -> the longest text that its cotangent ever has."""
    nodes = {node.node for node in frames.views[0].nodes}
    return {node: longest([node_cotangent(frames, frame, node, norms=norms) for frame in frames]) for node in nodes}


def room_for_lines(views: tuple[View, ...], place: int, density: Density) -> list[Line]:
    """The lines of one node of the picture, each with the longest text that it has in any view."""
    versions = [node_lines(view.nodes[place], density) for view in views]
    rows = max(versions, key=len)
    return [
        Line(row=line.row, part=line.part, text=longest([lines[number].text for lines in versions if number < len(lines)]))
        for number, line in enumerate(rows)
    ]


def _line(row: int, part: Part, text: str) -> Line:
    return Line(row=row, part=part, text=one_line(text))
