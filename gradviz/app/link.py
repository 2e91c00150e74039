"""The state of a page <-> its address, so that a link shows what its sender saw.

    ?expression=x*y&at=x=2&at=y=3&selected=node_2&direction=BT&panel=check
    ?page=model&model=GPT-2,+narrow&unfold=blocks.3&selected=box_0

What the address is to say is kept in the session: a browser that is clicked quickly asks with an address that is late. Each
run of a page or of a part of it tells the browser once, and all of it. The page follows the address when it is opened and
where a visitor went back or forward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from gradviz.app.exploring import Exploring
from gradviz.app.tracing import MAX_TYPED
from gradviz.view import Folding

MAX_VARIABLES = 50
MAX_FOLDED = 200

Said = dict[str, list[str]]


@dataclass(slots=True, kw_only=True)
class _Link:
    """The address of one session.

    Attributes:
        wanted: what it is to say.
        told: what the browser has been told last; None where it shows anything else.
        writers: how many parts of the page are being drawn that write into it.
        choices: the names of what is chosen by `choose`.
    """

    wanted: Said
    told: Said | None
    writers: int = 0
    choices: set[str] = field(default_factory=set)


@contextmanager
def written_link() -> Iterator[None]:
    """Around what draws a page, or a part of it that may run alone: tells the browser its address once, at the end."""
    link = _link()
    link.writers += 1
    try:
        yield
    finally:
        link.writers -= 1
    _tell(link)


def follow_link() -> bool:
    """Whether the visitor came to this address by going back or forward; forgets what was chosen, but for the address."""
    context = get_script_run_ctx()
    if context is None or not context.is_history_navigation:
        return False
    link = _link()
    link.wanted, link.told = _of_browser(), None
    for key in link.choices:
        st.session_state.pop(key, None)
    return True


def clear_link() -> None:
    """Another page: nothing of this one stays in the address."""
    _link().wanted = {}


def read_link() -> tuple[str, dict[str, str]] | None:
    """Expression and values of the address; None where it has no expression. Nothing else is done with them here."""
    return typed_state(_one("expression"), _link().wanted.get("at", []))


def typed_state(text: str, at: Sequence[str]) -> tuple[str, dict[str, str]] | None:
    """Expression and values from text such as `x*y` and `x=2`; None without an expression."""
    pairs = [given.partition("=") for given in at[:MAX_VARIABLES]]
    values = {name.strip(): written[:MAX_TYPED] for name, sign, written in pairs if name and sign}
    return (text[:MAX_TYPED], values) if text else None


def exploring_of_link() -> Exploring:
    """What the address says is selected, opened and closed."""
    unfold, fold = (tuple(_link().wanted.get(name, [])[:MAX_FOLDED]) for name in ("unfold", "fold"))
    return Exploring(selected=_one("selected"), folding=Folding(unfold=unfold, fold=fold), around=_one("around"))


def choice_of_link(name: str, accepted: Mapping[str, str]) -> str | None:
    """One of the accepted choices, or None."""
    chosen = _one(name)
    return chosen if chosen in accepted else None


def choose(label: str, options: Mapping[str, str], *, key: str, on_change: Callable[[], None] | None = None) -> str:
    """One of several choices, as a row of buttons; it is kept in the address under its key, unless it is the first one."""
    first = next(iter(options))
    _link().choices.add(key)
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
    """Writes state into the address; what is empty is taken out."""
    link = _link()
    written = {name: [one for one in given if one] for name, given in state.items()}
    link.wanted = {name: given for name, given in (link.wanted | written).items() if given}
    if not link.writers:
        _tell(link)


def _link() -> _Link:
    state = st.session_state
    if "link" not in state:
        said = _of_browser()
        state["link"] = _Link(wanted=said, told=said)
    link: _Link = state["link"]
    return link


def _of_browser() -> Said:
    return {name: st.query_params.get_all(name) for name in st.query_params}


def _one(name: str) -> str:
    return (_link().wanted.get(name) or [""])[-1]


def _tell(link: _Link) -> None:
    """Tells the browser, unless others write still; a run that is broken off here leaves it to the next one."""
    if not link.writers and link.wanted != link.told:
        st.query_params.from_dict(link.wanted)
        link.told = link.wanted
