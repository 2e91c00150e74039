"""A list or a tree of rows in the browser, each of which can be chosen, opened and closed, by mouse or keyboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources

import streamlit as st

from gradviz.app.events import event_of


def _file(name: str) -> str:
    return resources.files("gradviz.app.rows").joinpath(name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "gradviz_rows", html='<div class="gradviz-rows"></div>', css=_file("rows.css"), js=_file("rows.js")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        id: tells it from the others.
        text: its first line.
        remark: smaller, below it; may have several lines.
        mark: a sign before it.
        kind: "error", "warning", "hint" or "": its colour.
        depth: how far it is indented.
        expanded: whether what is in it is open; None where there is nothing to open.
    """

    id: str
    text: str
    remark: str = ""
    mark: str = ""
    kind: str = ""
    depth: int = 0
    expanded: bool | None = None


def rows(
    listed: Sequence[Row],
    *,
    selected: str,
    label: str,
    chosen: Callable[[str], None],
    toggled: Callable[[str], None] = lambda name: None,
    key: str,
) -> None:
    """Shows rows.

    Args:
        listed: what to show.
        selected: the id of the row that is marked, or "".
        label: of the list, for screen readers.
        chosen: called with the id of a row that was clicked.
        toggled: called with the id of a row that is to be opened or closed.
        key: of the widget.
    """

    def happened() -> None:
        match event_of(key):
            case {"kind": "choose", "id": str(name)}:
                chosen(name)
            case {"kind": "toggle", "id": str(name)}:
                toggled(name)

    data = {"rows": [asdict(row) for row in listed], "selected": selected, "label": label}
    _COMPONENT(key=key, data=data, on_event_change=happened, height="content")
