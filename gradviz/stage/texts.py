"""What is written on nodes and arrows: parts of a view that stay, values that change from step to step, cotangents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradviz.explain.amounts import loss_name
from gradviz.frames import Frame, Frames
from gradviz.graph import GradGraph
from gradviz.render.escape import one_line
from gradviz.stage.font import text_width
from gradviz.view import View, ViewEdge, ViewGroup, ViewNode
from gradviz.view.notation import derivative_text, shorten
from gradviz.view.summary import WRITTEN_LENGTH, cotangent_text

Part = Literal["name", "call", "value", "cotangent", "partial"]
MORE = " + …"


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """How much is written, and how.

    Attributes:
        labels: what stands at an arrow.
        lines: how many lines of a value are written.
        in_one_row: a node's texts stand beside each other, so that many nodes fit one above the other.
        cotangent_below: of these, all but the cotangent, so that more nodes fit beside each other.
        name_length: longer names are shortened.
        longest: elements of a tensor that take more characters are not written out.
    """

    labels: Literal["all", "number", "none"] = "all"
    lines: int = 4
    in_one_row: bool = False
    cotangent_below: bool = False
    name_length: int = 28
    longest: int = WRITTEN_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One run of text: the row that it stands in, what it is, and what it says."""

    row: int
    part: Part
    text: str


def node_lines(node: ViewNode, density: Density) -> list[Line]:
    """Everything on a node but its cotangent: the name with its call or number, then what describes the value."""
    values = _values(node, density)
    scalar = len(values) == 1 and (len(node.value) == 1 or values[0].startswith("["))
    lines = [_line(0, "name", shorten(node.name, density.name_length))]
    if node.call:
        lines.append(_line(0, "call", f" = {node.call}"))
    if node.origin:
        lines.append(_line(0, "call", f" ({node.origin})"))
    if scalar and (density.in_one_row or not node.call):
        return [*lines, _line(0, "value", f" = {values[0]}")]
    if density.in_one_row:
        return [*lines, *(_line(0, "value", f": {value}") for value in values[:1])]
    return [*lines, *(_line(1 + row, "value", f"= {value}" if scalar else value) for row, value in enumerate(values))]


def _values(node: ViewNode, density: Density) -> tuple[str, ...]:
    """The lines of a value that there is room for: where one must do, the elements if they are written out."""
    if density.lines == 1 and len(node.value) == 2 and node.value[1].startswith("["):
        return node.value[1:] if len(node.value[1]) <= density.longest else node.value[:1]
    return node.value[: density.lines]


def edge_text(edge: ViewEdge, density: Density) -> str:
    """The label at an arrow; "" where there is none."""
    if density.labels == "none":
        return ""
    if density.labels == "all":
        return one_line(edge.text)
    number = "" if edge.number == edge.formula else edge.number
    return one_line(edge.jacobian or " = ".join(part for part in (edge.formula, number) if part))


def node_cotangent(frames: Frames, frame: Frame, node: int, longest_written: int) -> str:
    """The cotangents of a node as far as they have come; "" before the first contribution."""
    graph, groups = frames.graphs[frame.step], frames.scenes[frame.step].groups
    if frame.phase == "forward":
        return ""
    if node in groups:
        return _group_cotangent(graph, groups[node], frame)
    if not graph.nodes[node]["requires_grad"]:
        return ""
    loss = loss_name(graph)
    parts = []
    for output in graph.nodes[node]["outputs"]:
        sign = derivative_text(loss, graph.output_name(node, output))
        cotangent = graph.cotangent(node, output)
        if (node, output) in frame.settled and cotangent is not None:
            parts.append(cotangent_text(cotangent, sign, longest=longest_written))
        elif (node, output) in frame.pending:
            parts.append(cotangent_text(frame.pending[(node, output)], sign, longest=longest_written) + MORE)
        elif graph.nodes[node]["kind"] == "leaf" and cotangent is None:
            parts.append("no gradient")
    return one_line("   ".join(parts[:3]))


def _group_cotangent(graph: GradGraph, group: ViewGroup, frame: Frame) -> str:
    """What comes in and goes out, once all that is inside is settled."""
    places = [(node, output) for node in group.nodes for output in graph.nodes[node]["outputs"]]
    reached = [place for place in places if graph.cotangent(*place) is not None]
    return one_line(next(iter(group.gradient), "")) if frame.settled.issuperset(reached) else ""


def longest(texts: list[str]) -> str:
    """The text that room is kept for: the widest."""
    return max(texts, key=lambda text: text_width(text, 1), default="")


def room_for_cotangents(frames: Frames, longest_written: int) -> dict[int, str]:
    """Node -> the longest text that its cotangent ever has."""
    nodes = {node.node for node in frames.views[0].nodes}
    return {node: longest([node_cotangent(frames, frame, node, longest_written) for frame in frames]) for node in nodes}


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
