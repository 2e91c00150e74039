"""A view and its SVG -> the canvas in the browser: zoom, drag, search, selection of a node or an edge.

canvas.js, canvas.css   the component's own files; the page loads nothing else
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import resources
from typing import Any

import streamlit as st

from gradviz.check import CheckReport
from gradviz.graph import GradGraph
from gradviz.render import theme_named
from gradviz.render.theme import MARKS
from gradviz.view import View, ViewEdge, ViewNode
from gradviz.view.notation import MINUS

WORDS = {
    "bar": "Canvas",
    "search": "Find a name",
    "smaller": "Zoom out",
    "larger": "Zoom in",
    "fit": "Fit the graph to the canvas",
}


def _file(name: str) -> str:
    return resources.files("gradviz.app.canvas").joinpath(name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "gradviz_canvas", html='<div class="gradviz-canvas"></div>', css=_file("canvas.css"), js=_file("canvas.js")
)


def canvas(data: dict[str, Any], *, given: int, selection: str, key: str) -> str:
    """Shows the canvas; returns the id of the selected view node or edge, or "".

    Args:
        data: of `canvas_data`.
        given: a number that changes whenever `selection` is to replace what is selected in the browser.
        selection: the id to select then.
        key: of the widget.
    """
    state = _COMPONENT(
        key=key,
        data=data | {"given": given, "selection": selection},
        default={"selection": selection},
        on_selection_change=lambda: None,
        height="content",
    )
    return str(state.selection or "")


def canvas_data(view: View, svg: str, graph: GradGraph, report: CheckReport | None) -> dict[str, Any]:
    """What canvas.js is given: the SVG, and for each of its nodes and edges its name, its text and its neighbours."""
    return {
        "revision": hashlib.sha256(svg.encode()).hexdigest(),
        "svg": svg,
        "label": view.title,
        "ground": theme_named(view.theme).background,
        "words": WORDS,
        "items": [
            *(_node(node, graph) for node in view.nodes),
            *(_edge(edge, graph, report) for edge in view.edges),
        ],
    }


def _node(node: ViewNode, graph: GradGraph) -> dict[str, Any]:
    heading = f"{node.name} = {node.call}" if node.call else node.name
    lines = [f"value {', '.join(node.value)}" if node.value else "", node.cotangent]
    return {
        "id": node.id,
        "kind": "node",
        "name": str(graph.nodes[node.node]["name"]),
        "label": "; ".join([f"{node.role} {heading}", *filter(None, lines)]),
        "hover": [heading, *_full(node, graph)],
    }


def _full(node: ViewNode, graph: GradGraph) -> Iterator[str]:
    """Value and cotangent with all digits, where they are single numbers."""
    for what, value, short in (
        ("value", graph.value(node.node), node.value),
        ("cotangent", graph.cotangent(node.node), (node.cotangent,) if node.cotangent else ()),
    ):
        if value is not None and value.numel() == 1:
            yield f"{what} {str(value.detach().item()).removesuffix('.0').replace('-', MINUS)}"
        elif short:
            yield from short


def _edge(edge: ViewEdge, graph: GradGraph, report: CheckReport | None) -> dict[str, Any]:
    tail, head, _ = edge.edge
    names = [str(graph.nodes[node]["name"]) for node in (tail, head)]
    way = f"{names[0]} → {names[1]}"
    checked = [entry for entry in report.edges if entry.edge == edge.edge] if report else []
    verdicts = [f"{MARKS[entry.verdict]} {entry.verdict}" for entry in checked]
    lines = [edge.text, f"cut: {edge.cut}" if edge.cut else "", *verdicts]
    return {
        "id": edge.id,
        "kind": "edge",
        "name": way,
        "label": "; ".join([f"edge {way}", *filter(None, lines)]),
        "hover": [way, *filter(None, lines)],
        "tail": edge.tail,
        "head": edge.head,
        "cut": bool(edge.cut),
    }
