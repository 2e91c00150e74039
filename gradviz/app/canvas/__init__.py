"""A view and its SVG -> the canvas in the browser: zoom, drag, search, selection, opening and closing of groups.

canvas.js, canvas.css   the component's own files; the page loads nothing else
relay.js                tells the server what is selected
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

import streamlit as st

from gradviz.app.exploring import Exploring
from gradviz.check import Checked, CheckReport
from gradviz.graph import GradGraph
from gradviz.render import theme_named
from gradviz.render.theme import MARKS
from gradviz.view import View, ViewEdge, ViewGroup, ViewNode
from gradviz.view.notation import MINUS
from gradviz.view.summary import is_opaque

WORDS = {
    "bar": "Canvas",
    "search": "Find a name",
    "smaller": "Zoom out",
    "larger": "Zoom in",
    "fit": "Fit the graph to the canvas",
}
UNFOLD, FOLD = "double click or + unfolds it", "double click or − folds it"


def _file(name: str) -> str:
    return resources.files("gradviz.app.canvas").joinpath(name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "gradviz_canvas", html='<div class="gradviz-canvas"></div>', css=_file("canvas.css"), js=_file("canvas.js")
)
_RELAY = st.components.v2.component(
    "gradviz_relay", html='<div class="gradviz-relay"></div>', css=":host { display: none; }", js=_file("relay.js")
)


def relay(exploring: Exploring, graph: GradGraph, *, key: str) -> None:
    """Draws nothing; a selection on the canvas runs the fragment again in which this stands."""
    _RELAY(key=key, on_event_change=lambda: _happened(key, exploring, graph), height="content")


def canvas(data: dict[str, Any], exploring: Exploring, graph: GradGraph, *, key: str) -> None:
    """Shows the canvas; what is opened or closed on it runs the fragment again in which it stands.

    Args:
        data: of `canvas_data`.
        exploring: what is selected, opened and closed.
        graph: what is drawn.
        key: of the widget.
    """
    data = data | {"given": exploring.given, "selection": exploring.selected}
    _COMPONENT(key=key, data=data, on_event_change=lambda: _happened(key, exploring, graph), height="content")


def _happened(key: str, exploring: Exploring, graph: GradGraph) -> None:
    event = st.session_state[key].get("event")
    if isinstance(event, Mapping):
        exploring.happened(event, graph)


def canvas_data(view: View, svg: str, graph: GradGraph, report: CheckReport | None) -> dict[str, Any]:
    """What canvas.js is given: the SVG, and for each shape and arrow in it its name, its text and its neighbours."""
    checked = {entry.edge: entry for entry in report.edges} if report else {}
    names = {node.id: str(graph.nodes[node.node]["name"]) for node in view.nodes}
    names |= {group.id: group.name for group in view.groups}
    return {
        "revision": hashlib.sha256(svg.encode()).hexdigest(),
        "svg": svg,
        "label": view.title,
        "ground": theme_named(view.theme).background,
        "words": WORDS,
        "items": [
            *(
                {"id": box.id, "kind": "box", "fold": box.name, **_told(box.name, "opened call", [FOLD])}
                for box in view.boxes
            ),
            *(_node(node, graph) for node in view.nodes),
            *(_group(group) for group in view.groups),
            *(_edge(edge, names, checked.get(edge.edge)) for edge in view.edges),
        ],
    }


def _told(name: str, role: str, lines: Iterable[str], heading: str = "") -> dict[str, Any]:
    """Name, text for screen readers, and lines to show beside the pointer."""
    told = [heading or name, *filter(None, lines)]
    return {"name": name, "label": f"{role} {'; '.join(told)}", "hover": told}


def _node(node: ViewNode, graph: GradGraph) -> dict[str, Any]:
    heading = f"{node.name} = {node.call}" if node.call else node.name
    lines = [f"value {', '.join(node.value)}" if node.value else "", node.cotangent]
    told = _told(str(graph.nodes[node.node]["name"]), node.role, lines, heading)
    hover = [heading, *_full(node, graph), *node.trouble]
    return {"id": node.id, "kind": "node", **told, "output": node.role == "output", "hover": hover}


def _group(group: ViewGroup) -> dict[str, Any]:
    heading = f"{group.count:,} × {group.name}" if group.count > 1 else group.name
    verdict = f"{MARKS[group.verdict]} {group.verdict}" if group.verdict else ""
    lines = [*group.lines, *group.gradient, verdict, *group.trouble, UNFOLD if group.opens else ""]
    told = _told(group.name, "group", lines, heading)
    return {"id": group.id, "kind": "group", **told, "unfold": group.opens[0] if group.opens else ""}


def _full(node: ViewNode, graph: GradGraph) -> Iterator[str]:
    """Value and cotangent with all digits, where they are single numbers."""
    for what, value, short in (
        ("value", graph.value(node.node), node.value),
        ("cotangent", graph.cotangent(node.node), (node.cotangent,) if node.cotangent else ()),
    ):
        if value is not None and value.numel() == 1 and not is_opaque(value):
            yield f"{what} {str(value.detach().item()).removesuffix('.0').replace('-', MINUS)}"
        elif short:
            yield from short


def _edge(edge: ViewEdge, names: Mapping[str, str], checked: Checked | None) -> dict[str, Any]:
    way = f"{names[edge.tail]} → {names[edge.head]}"
    verdict = f"{MARKS[checked.verdict]} {checked.verdict}" if checked else ""
    uses = f"{edge.uses:,} uses" if edge.uses > 1 else ""
    told = _told(way, "edge", [edge.text, edge.flow, uses, f"cut: {edge.cut}" if edge.cut else "", verdict])
    return {"id": edge.id, "kind": "edge", **told, "tail": edge.tail, "head": edge.head, "cut": bool(edge.cut)}
