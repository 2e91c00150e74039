"""The expression page: text and values of its variables -> graph, inspector, derivation, check, graph of the function."""

from __future__ import annotations

import streamlit as st

from gradviz.app.explorer import explorer
from gradviz.app.inputs import expression_inputs, load, load_first_example
from gradviz.app.link import exploring_of_link, read_link, typed_state, write_link
from gradviz.app.panels import EXPRESSION_PANELS, panels
from gradviz.app.tracing import Traced, Values, traced
from gradviz.target import names_function


def expression_page() -> None:
    """Reads the widgets, traces, checks, draws."""
    if "expression exploring" not in st.session_state:
        _start()
    found = expression_inputs(_traced) or _last()
    if found is not None:
        explorer(found, st.session_state["expression exploring"], page="expression", of_model=False)
        panels(found, EXPRESSION_PANELS)


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


def _start() -> None:
    """What the link says, what was there before the page was left, what the command line says, or the first example."""
    last = st.session_state.get("expression last")
    text, *at = st.session_state.get("opened with") or ("",)
    given = read_link()
    if given is None and last is not None:
        given = last[0], dict(last[1])
    if given is None and not names_function(text):
        given = typed_state(text, at)
    if given is None:
        load_first_example()
    else:
        load(*given)
    st.session_state["expression exploring"] = exploring_of_link()
