"""The state of a page <-> its address, so that a link shows what its sender saw.

    ?expression=x*y&at=x=2&at=y=3&selected=node_2&direction=BT&panel=check
    ?page=model&model=GPT-2,+narrow&unfold=blocks.3&selected=box_0

What the address is to say is kept in the session: a browser that is clicked quickly asks with an address that is late. Each
run of a page or of a part of it tells the browser once, and all of it. The page follows the address when it is opened and
where a visitor went back or forward.

With all it asks for, a browser sends what every widget shows; what it asked for on the way to another address is about the
page that was left. So each widget that follows the address gets another key on the way, `key_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx

from gradviz.app.exploring import Exploring
from gradviz.app.tracing import MAX_TYPED
from gradviz.view import Folding
from gradviz.view.notation import shorten

MAX_VARIABLES = 50
MAX_FOLDED = 200
MAX_SHOWN = 60
ON_ALL_PAGES = ("direction",)

Said = dict[str, list[str]]


@dataclass(slots=True, kw_only=True)
class _Link:
    """The address of one session.

    Attributes:
        wanted: what it is to say.
        told: what the browser has been told last; None where it shows anything else.
        run: the latest that writes; one that was broken off for it may still be at it, and is not listened to.
        writers: how many parts of the page are being drawn by it that write into it.
        choices: the key of each widget of `choose`, and what it showed at first.
        followed: how often the visitor went back or forward.
        keys: of the widgets that follow it.
    """

    wanted: Said
    told: Said | None
    run: ScriptRunContext | None = None
    writers: int = 0
    choices: dict[str, tuple[str, str]] = field(default_factory=dict)
    followed: int = 0
    keys: set[str] = field(default_factory=set)


@contextmanager
def written_link() -> Iterator[None]:
    """Around what draws a page, or a part of it that may run alone: tells the browser its address once, at the end."""
    link, run = _link(), get_script_run_ctx()
    if link.run is not run:
        link.run, link.writers = run, 0
    link.writers += 1
    try:
        yield
    finally:
        if link.run is run:
            link.writers -= 1
    if link.run is run:
        _tell(link)


def follow_link() -> bool:
    """Whether the visitor came to this address by going back or forward; forgets what widgets hold, but for the address."""
    context = get_script_run_ctx()
    if context is None or not context.is_history_navigation:
        return False
    link = _link()
    link.run, link.writers = context, 0
    link.wanted, link.told = _of_browser(), None
    for key in link.keys:
        st.session_state.pop(key, None)
    link.keys.clear()
    link.choices.clear()
    link.followed += 1
    return True


def key_of(name: str) -> str:
    """The key of a widget that follows the address: another one each time that the visitor went back or forward."""
    link = _link()
    key = f"{name} {link.followed}"
    link.keys.add(key)
    return key


def unless_left(called: Callable[..., None]) -> Callable[..., None]:
    """For the widgets that follow the address: calls it, but not for what a page showed that was left by back or forward."""
    followed = _link().followed

    def call(*arguments: Any) -> None:
        if _link().followed == followed:
            called(*arguments)

    return call


def clear_link() -> None:
    """Another page: of this one only what all pages have stays in the address."""
    link = _link()
    link.wanted = {name: given for name, given in link.wanted.items() if name in ON_ALL_PAGES}


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


def said_in_link(name: str) -> str:
    """What the address says by a name, whether it is accepted or not, as far as it can be shown; "" where nothing."""
    return shorten(_one(name), MAX_SHOWN)


def choice_of_link(name: str, accepted: Mapping[str, str]) -> str | None:
    """One of the accepted choices, or None."""
    chosen = _one(name)
    return chosen if chosen in accepted else None


def choose(label: str, options: Mapping[str, str], *, name: str, on_change: Callable[[], None] | None = None) -> str:
    """One of several choices, as a row of buttons; it is kept in the address by its name, unless it is the first one.

    What a run that was broken off let Streamlit forget gets a new widget, which shows it from the start: a value that is
    given to one in a run is lost where the browser draws that run and the next at once.
    """
    link, first, place = _link(), next(iter(options)), f"{name}: {', '.join(options)}"
    key, shown = link.choices.get(place, (None, first))
    if key is None or st.session_state.get(key) not in options:
        key, shown = key_of(f"{place} {len(link.keys)}"), choice_of_link(name, options) or first
        link.choices[place] = key, shown
    chosen = str(
        st.segmented_control(
            label,
            list(options),
            default=shown,
            format_func=options.__getitem__,
            key=key,
            required=True,
            label_visibility="collapsed",
            on_change=unless_left(on_change) if on_change else "rerun",
        )
    )
    write_link({name: [] if chosen == first else [chosen]})
    return chosen


def write_link(state: Mapping[str, Sequence[str]]) -> None:
    """Writes state into the address; what is empty is taken out."""
    link = _link()
    if link.writers and link.run is not get_script_run_ctx():
        return
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
