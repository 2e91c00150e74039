"""The state of a page <-> its address, so that a link shows what its sender saw.

    ?expression=x*y&at=x=2&at=y=3&selected=node_2&direction=BT&panel=check
    ?page=model&model=GPT-2,+narrow&unfold=blocks.3&selected=box_0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from gradviz.app.exploring import Exploring
from gradviz.app.tracing import MAX_TYPED
from gradviz.view import Folding

MAX_VARIABLES = 50
MAX_FOLDED = 200


def read_link() -> tuple[str, dict[str, str]] | None:
    """Expression and values of the address; None where it has no expression. Nothing else is done with them here."""
    return typed_state(st.query_params.get("expression", ""), st.query_params.get_all("at"))


def typed_state(text: str, at: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """Expression and values from text such as `x*y` and `x=2`; None without an expression."""
    pairs = [given.partition("=") for given in at[:MAX_VARIABLES]]
    values = {name.strip(): written[:MAX_TYPED] for name, sign, written in pairs if name and sign}
    return (text[:MAX_TYPED], values) if text else None


def exploring_of_link() -> Exploring:
    """What the address says is selected, opened and closed."""
    unfold, fold = (tuple(st.query_params.get_all(name)[:MAX_FOLDED]) for name in ("unfold", "fold"))
    selected, around = (st.query_params.get(name, "") for name in ("selected", "around"))
    return Exploring(selected=selected, folding=Folding(unfold=unfold, fold=fold), around=around)


def choice_of_link(name: str, accepted: Mapping[str, str]) -> str | None:
    """One of the accepted choices, or None."""
    chosen = st.query_params.get(name, "")
    return chosen if chosen in accepted else None


def choose(label: str, options: Mapping[str, str], *, key: str, on_change: Callable[[], None] | None = None) -> str:
    """One of several choices, as a row of buttons; it is kept in the address under its key, unless it is the first one."""
    first = next(iter(options))
    if st.session_state.get(key) not in options:
        st.session_state[key] = choice_of_link(key, options) or first
    chosen = str(
        st.segmented_control(
            label,
            list(options),
            format_func=options.__getitem__,
            key=key,
            required=True,
            label_visibility="collapsed",
            on_change=on_change or "rerun",
        )
    )
    write_link({key: [] if chosen == first else [chosen]})
    return chosen


def write_link(state: Mapping[str, Sequence[str]]) -> None:
    """Writes state into the address, where it is not there yet; what is empty is taken out."""
    for name, given in state.items():
        wanted = [one for one in given if one]
        if st.query_params.get_all(name) == wanted:
            continue
        if wanted:
            st.query_params[name] = wanted
        else:
            del st.query_params[name]
