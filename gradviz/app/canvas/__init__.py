"""A view and its SVG -> the canvas in the browser: zoom, drag, search, selection, opening and closing of groups.

canvas.js, canvas.css   the component's own files; the page loads nothing else
drawing.js              an SVG without anything that could run; comes before canvas.js
ways.js                 the paths along which a gradient arrives; comes before it too
items.py                what canvas.js knows of each shape and arrow
"""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any

import streamlit as st

from gradviz.app.canvas.items import items_of
from gradviz.app.events import event_of
from gradviz.app.exploring import Exploring
from gradviz.check import CheckReport
from gradviz.graph import GradGraph
from gradviz.render import theme_named
from gradviz.view import View

WORDS = {
    "bar": "Canvas",
    "search": "Find a name",
    "smaller": "Zoom out",
    "larger": "Zoom in",
    "fit": "Fit the graph to the canvas",
}


def _file(name: str) -> str:
    return resources.files("gradviz.app.canvas").joinpath(name).read_text(encoding="utf-8")


def script() -> str:
    """The component's JavaScript."""
    return _file("drawing.js") + _file("ways.js") + _file("canvas.js")


_COMPONENT = st.components.v2.component(
    "gradviz_canvas", html='<div class="gradviz-canvas"></div>', css=_file("canvas.css"), js=script()
)


def canvas(data: dict[str, Any], exploring: Exploring, graph: GradGraph, *, key: str) -> None:
    """Shows the canvas; what is opened or closed on it runs the fragment again in which it stands.

    Args:
        data: of `canvas_data`.
        exploring: what is selected, opened and closed.
        graph: what is drawn.
        key: of the widget.
    """
    data = data | {"given": exploring.given, "selection": exploring.selected, "narrow": exploring.narrow}
    _COMPONENT(key=key, data=data, on_event_change=lambda: exploring.happened(event_of(key), graph), height="content")


def canvas_data(view: View, svg: str, graph: GradGraph, report: CheckReport | None) -> dict[str, Any]:
    """What canvas.js is given: the SVG, and what it is to know of each shape and arrow in it."""
    return {
        "revision": hashlib.sha256(svg.encode()).hexdigest(),
        "svg": svg,
        "label": view.title,
        "lies": view.direction == "LR",
        "ground": theme_named(view.theme).background,
        "words": WORDS,
        "items": items_of(view, graph, report),
    }
