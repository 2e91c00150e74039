"""The expression page: text and values of its variables -> graph, inspector, derivation, check, graph of the function."""

from __future__ import annotations

import streamlit as st

from gradviz.app.explorer import explorer
from gradviz.app.inputs import expression_inputs, load, load_first_example
from gradviz.app.link import exploring_of_link, read_link, typed_state, write_link
from gradviz.app.panels import EXPRESSION_PANELS, panels
from gradviz.app.sentences import show_stale
from gradviz.app.tracing import Traced, Values, traced
from gradviz.target import is_math
from gradviz.view.notation import shorten

STALE_LENGTH = 80
"""Of the expression that a graph is still of: one line."""


def expression_page() -> None:
    """Reads the widgets, traces, checks, draws."""
    if "expression exploring" not in st.session_state:
        _start()
    now = expression_inputs(_traced)
    found = now or _last()
    if found is not None:
        with st.container(key="gradviz-shown"):
            show_stale("" if now else _still_of(*st.session_state["expression last"]))
            exploring = st.session_state["expression exploring"]
            explorer(found, exploring, page="expression", of_model=False, narrow=exploring.narrow)
            panels(found, EXPRESSION_PANELS, narrow=exploring.narrow)


def _traced(text: str, values: Values) -> Traced:
    """The graph of what is typed, which is then in the address."""
    found = traced(text, values)
    st.session_state["expression last"] = text, values
    write_link({"expression": [text], "at": [f"{name}={typed}" for name, typed in values]})
    return found


def _last() -> Traced | None:
    """The last graph, shown while what is typed cannot be read or traced, so that nothing jumps while typing."""
    last = st.session_state.get("expression last")
    return None if last is None else traced(*last)


def _still_of(text: str, values: Values) -> str:
    at = ", ".join(f"{name} = {typed}" for name, typed in values)
    return shorten(f"Still of {text} at {at}" if at else f"Still of {text}", STALE_LENGTH)


def _start() -> None:
    """What the link says, what was there before the page was left, what the command line says, or the first example."""
    last = st.session_state.get("expression last")
    text, *at = st.session_state.get("opened with") or ("",)
    given = read_link()
    if given is None and last is not None:
        given = last[0], dict(last[1])
    if given is None and is_math(text):
        given = typed_state(text, at)
    if given is None:
        load_first_example()
    else:
        load(*given)
    st.session_state["expression exploring"] = exploring_of_link()
