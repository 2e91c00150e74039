"""The state of the expression page <-> the address of the page, so that a link shows what its sender saw.

    ?expression=x*y&at=x=2&at=y=3&selected=node_2&direction=BT&show=check
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from gradviz.app.tracing import MAX_TEXT, MAX_VALUE, Values

MAX_VARIABLES = 50


def read_link() -> tuple[str, dict[str, str]] | None:
    """Expression and values of the address; None where it has no expression. Nothing else is done with them here."""
    text = st.query_params.get("expression", "")[:MAX_TEXT]
    pairs = [given.partition("=") for given in st.query_params.get_all("at")[:MAX_VARIABLES]]
    values = {name: written[:MAX_VALUE] for name, sign, written in pairs if name and sign}
    return (text, values) if text else None


def choice_of_link(name: str, accepted: Mapping[str, str]) -> str | None:
    """One of the accepted choices, or None."""
    chosen = st.query_params.get(name, "")
    return chosen if chosen in accepted else None


def write_link(text: str, values: Values, choices: Mapping[str, str]) -> None:
    """Writes the state into the address, where it is not there yet; choices that are "" are left out."""
    wanted: dict[str, str | list[str]] = {name: choice for name, choice in choices.items() if choice}
    wanted |= {"expression": text, "at": [f"{name}={written}" for name, written in values]}
    present = {name: st.query_params.get_all(name) for name in st.query_params}
    if present != {name: choice if isinstance(choice, list) else [choice] for name, choice in wanted.items() if choice}:
        st.query_params.from_dict(wanted)
