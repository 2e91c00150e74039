"""What is on the canvas, as files to download; each is made only when it is asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import streamlit as st

import gradviz
from gradviz.app.shown import Look, Shown, picture
from gradviz.frames.build import MAX_NODES
from gradviz.render import render
from gradviz.view import View

TIME_LIMIT_S = 20.0
MENU_PX = 290
PictureFormat = Literal["svg", "png", "pdf", "dot"]
PICTURES: dict[PictureFormat, str] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "dot": "text/vnd.graphviz",
}
SLIDES: dict[str, tuple[str, str]] = {
    "pptx": ("Slides, PPTX", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    "pdf": ("Slides, PDF", "application/pdf"),
    "tex": ("Slides, LaTeX", "application/x-tex"),
    "html": ("Player, HTML", "text/html"),
    "gif": ("Player, GIF", "image/gif"),
}


def exports(shown: Shown, look: Look, drawn: View) -> None:
    """The menu.

    Args:
        shown: the graph.
        look: what was chosen about its picture.
        drawn: what is on the picture.
    """
    with st.popover("Export", icon=":material/download:"):
        st.caption("The picture, as it is on the canvas")
        with st.container(horizontal=True, width=MENU_PX):
            for name, kind in PICTURES.items():
                _button(name.upper(), partial(rendered, shown, name, look), f"gradviz.{name}", kind)
        count = len(drawn.nodes) + len(drawn.groups)
        if count > MAX_NODES or drawn.gaps:
            st.caption(f"Slides and players step through up to {MAX_NODES} shapes; there are {count:,} on the canvas.")
            return
        steps = "each group as one step" if drawn.groups else "step by step"
        st.caption(f"The gradient, {steps}, laid out for slides")
        with st.container(horizontal=True, width=MENU_PX):
            for ending, (label, mime) in SLIDES.items():
                _button(label, partial(slides, shown.graph, ending, look), f"gradviz-steps.{ending}", mime)


def rendered(shown: Shown, name: PictureFormat, look: Look) -> bytes:
    """The picture as it is on the canvas."""
    drawn = picture(shown, look)
    return drawn.svg.encode() if name == "svg" else render(drawn.view, format=name, time_limit_s=TIME_LIMIT_S)


def slides(graph: gradviz.GradGraph, ending: str, look: Look) -> bytes:
    """The steps of a gradient as the file that `graph.save_slides` writes."""
    theme: Literal["dark", "slides"] = "dark" if look.theme == "dark" else "slides"
    with tempfile.TemporaryDirectory(prefix="gradviz-") as folder:
        path = Path(folder) / f"steps.{ending}"
        graph.save_slides(path, theme=theme, time_limit_s=TIME_LIMIT_S, **look.part)
        return path.read_bytes()


def _button(label: str, make: Callable[[], bytes], name: str, kind: str) -> None:
    st.download_button(label, make, file_name=name, mime=kind, on_click="ignore", key=f"download {name}")
