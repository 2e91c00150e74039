"""The state of the expression page <-> the address of the page, so that a link shows what its sender saw.

    ?expression=x*y&at=x=2&at=y=3&selected=node_2&direction=BT&panel=check
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from gradviz.app.tracing import MAX_TEXT, MAX_VALUE, Values

MAX_VARIABLES = 50


def read_link() -> tuple[str, dict[str, str]] | None:
    """Expression and values of the address; None where it has no expression. Nothing else is done with them here."""
    return _state(st.query_params.get("expression", ""), st.query_params.get_all("at"))


def read_command_line() -> tuple[str, dict[str, str]] | None:
    """Expression and values that the app was started with; None where it was started without."""
    text, *at = st.session_state.get("opened with") or ("",)
    return _state(text, at)


def _state(text: str, at: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    pairs = [given.partition("=") for given in at[:MAX_VARIABLES]]
    values = {name.strip(): written[:MAX_VALUE] for name, sign, written in pairs if name and sign}
    return (text[:MAX_TEXT], values) if text else None


def choice_of_link(name: str, accepted: Mapping[str, str]) -> str | None:
    """One of the accepted choices, or None."""
    chosen = st.query_params.get(name, "")
    return chosen if chosen in accepted else None


def choose(label: str, options: Mapping[str, str], *, key: str) -> str:
    """One of several choices, as a row of buttons; it is kept in the address under its key."""
    if key not in st.session_state:
        st.session_state[key] = choice_of_link(key, options) or next(iter(options))
    chosen = st.segmented_control(
        label, list(options), format_func=options.__getitem__, key=key, required=True, label_visibility="collapsed"
    )
    if st.query_params.get(key) != chosen:
        st.query_params[key] = str(chosen)
    return str(chosen)


def write_link(text: str, values: Values, selected: str) -> None:
    """Writes what is typed and selected into the address, where it is not there yet."""
    wanted = {"expression": [text], "at": [f"{name}={written}" for name, written in values], "selected": [selected or ""]}
    for name, given in wanted.items():
        given = [one for one in given if one]
        if st.query_params.get_all(name) == given:
            continue
        if given:
            st.query_params[name] = given
        else:
            del st.query_params[name]
