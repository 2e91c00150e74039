"""Views and a density -> DOT text, and which runs of text stand on each node and arrow, in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import graphviz

from gradviz.frames import Frames
from gradviz.render.escape import escaped
from gradviz.render.theme import FONTS, SHAPES
from gradviz.stage.texts import Density, Line, edge_text, longest, room_for_lines
from gradviz.view import Direction, ViewNode

NODE_SIZE, EDGE_SIZE = 22, 20
"""Points. Only their ratio to each other and to the distances counts: the page scales everything to fit."""
GAP = "   "
"""Before a cotangent that stands beside its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What Graphviz is asked to lay out.

    Attributes:
        source: DOT text; its nodes and edges come in the order of the view.
        nodes, edges: id -> the runs of text on it, in reading order.
        direction: of the ranks.
    """

    source: str
    nodes: dict[str, list[Line]]
    edges: dict[str, list[Line]]
    direction: Direction


def sketch_of(frames: Frames, cotangents: Mapping[int, str], density: Density, direction: Direction) -> Sketch:
    """A sketch with room for every frame.

    Args:
        frames: what is to be shown.
        cotangents: node -> the longest text that its cotangent ever has; "" where it has none.
        density, direction: how.
    """
    view = frames.views[0]
    nodes: dict[str, list[Line]] = {}
    edges: dict[str, list[Line]] = {}
    graph = graphviz.Digraph(
        graph_attr={
            "rankdir": direction,
            "ranksep": "0.28" if density.labels == "none" else "0.4",
            "nodesep": "0.3",
            "fontname": FONTS,
        },
        node_attr={"fontname": FONTS, "fontsize": str(NODE_SIZE), "height": "0", "width": "0", "margin": "0.12,0.06"},
        edge_attr={"fontname": FONTS, "fontsize": str(EDGE_SIZE), "arrowsize": "1.1", "dir": "both"},
    )
    for place, node in enumerate(view.nodes):
        lines = room_for_lines(frames.views, place, density)
        if cotangents[node.node]:
            beside = density.in_one_row and not density.cotangent_below
            row, gap = (0, GAP) if beside else (lines[-1].row + 1, "")
            lines.append(Line(row=row, part="cotangent", text=gap + cotangents[node.node]))
        nodes[node.id] = lines
        graph.node(node.id, label=_node_label(lines), **_node_attributes(node))
    for place, edge in enumerate(view.edges):
        text = longest([edge_text(one.edges[place], density) for one in frames.views])
        edges[edge.id] = [Line(row=0, part="partial", text=text)] if text else []
        graph.edge(edge.tail, edge.head, label=_edge_label(text, direction) if text else None, id=edge.id)
    source: str = graph.source
    return Sketch(source=source, nodes=nodes, edges=edges, direction=direction)


def _node_attributes(node: ViewNode) -> dict[str, str]:
    shape = {"shape": "box", "margin": "0.2,0.06"} if node.role == "leaf" else SHAPES[node.role]
    return {**shape, "id": node.id}


def _node_label(lines: list[Line]) -> str:
    rows = []
    for _, row in groupby(lines, key=lambda line: line.row):
        runs = [f"<B>{escaped(run.text)}</B>" if run.part == "name" else escaped(run.text) for run in row]
        rows.append(f"<TR><TD>{''.join(runs)}</TD></TR>")
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{"".join(rows)}</TABLE>>'


def _edge_label(text: str, direction: Direction) -> str:
    padding = 3 if direction == "LR" else 6
    cell = f"<TR><TD>{escaped(text)}</TD></TR>"
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}">{cell}</TABLE>>'
