"""The expression page: text and values of its variables -> graph, inspector, derivation, check, graph of the function."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, cast

import streamlit as st

import gradviz
from gradviz.app.canvas import canvas, canvas_data
from gradviz.app.examples import EXAMPLES
from gradviz.app.inputs import expression_inputs, load, load_example
from gradviz.app.inspector import inspector
from gradviz.app.link import choose, read_command_line, read_link, write_link
from gradviz.app.panels import panels
from gradviz.app.sentences import show_error
from gradviz.app.tracing import TIME_LIMIT_S, Picture, Traced, picture, traced
from gradviz.view import Direction, ThemeName

DIRECTIONS: dict[str, str] = {"LR": "left to right", "BT": "bottom up"}
FILES: dict[Literal["svg", "png", "pdf", "dot", "html"], str] = {
    "svg": "image/svg+xml",
    "png": "image/png",
    "pdf": "application/pdf",
    "dot": "text/vnd.graphviz",
    "html": "text/html",
}
PANEL_PX = 546


def expression_page() -> None:
    """Reads the widgets, traces, checks, draws."""
    if "selected" not in st.session_state:
        _start()
    written = expression_inputs()
    if written is None:
        return
    try:
        found = traced(*written)
    except gradviz.GradvizError as error:
        show_error(error)
        return
    _explore(found)
    panels(found)


def _start() -> None:
    """The state of a new session: that of the link, of the command line, or the first example."""
    given = read_link() or read_command_line()
    if given is None:
        st.session_state.example = next(iter(EXAMPLES))
        load_example(st.session_state.example)
    else:
        load(*given)
    st.session_state.selected = st.query_params.get("selected", "")
    st.session_state.given = 1


@st.fragment
def _explore(found: Traced) -> None:
    """Canvas and inspector; a click runs only this again."""
    left, right = st.columns([3, 1.25])
    with left:
        place = st.container()
        with st.container(horizontal=True, vertical_alignment="center"):
            direction = choose("Direction", DIRECTIONS, key="direction")
            theme: ThemeName = "dark" if st.context.theme.type == "dark" else "light"
            try:
                drawn = picture(found.text, found.values, theme, cast(Direction, direction))
            except gradviz.GradvizError as error:
                show_error(error)
                return
            _downloads(found, drawn)
        with place:
            data = canvas_data(drawn.view, drawn.svg, found.graph, found.report)
            selected = canvas(data, given=st.session_state.given, selection=st.session_state.selected, key="canvas")
    st.session_state.selected = selected
    write_link(found.text, found.values, selected)
    with right, st.container(height=PANEL_PX, border=True):
        inspector(found.graph, found.report, drawn.view, selected)


def _downloads(found: Traced, drawn: Picture) -> None:
    choices: dict[str, Any] = {"theme": drawn.view.theme, "time_limit_s": TIME_LIMIT_S}
    pictured = choices | {"direction": drawn.view.direction, "report": found.report}
    with st.popover("Export", icon=":material/download:"):
        for name, kind in FILES.items():
            st.download_button(
                name.upper(),
                partial(found.graph.render, format=name, **(choices if name == "html" else pictured)),
                file_name=f"gradviz.{name}",
                mime=kind,
                on_click="ignore",
            )
