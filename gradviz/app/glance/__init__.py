"""What is selected on the canvas, at once: the browser shows what the canvas knows of it until the server has told all.

It stands after the panel that the server fills, in one container, and takes its place while that is about something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import streamlit as st

from gradviz.app.events import event_of
from gradviz.app.exploring import Exploring

PLACE = "gradviz-glanced"
"""The key of the container; the style sheet names it."""
PANEL = "gradviz-panel"
"""That of the panel before it, which is as high as the canvas; on phones, where it stands below, as high as it needs."""
LISTS = "gradviz-lists"
"""That of a place where a row of buttons stands above the panel."""


def _file(name: str) -> str:
    return resources.files("gradviz.app.glance").joinpath(name).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "gradviz_glance",
    html='<div class="gradviz-glance"></div>',
    css=_file("glance.css"),
    js=_file("glance.js"),
    isolate_styles=False,  # it hides its neighbour
)


def glance(exploring: Exploring, happened: Callable[[Mapping[str, Any]], None], *, nothing: str | None, key: str) -> None:
    """Shows a selection in the place of the panel before it, and tells the server, which runs the fragment around this.

    Args:
        exploring: what the panel is about.
        happened: called with the event.
        nothing: what to show where nothing is selected; None where the panel is not about what is selected, and stays.
        key: of the widget.
    """

    def changed() -> None:
        happened(event_of(key))

    data = {"selected": exploring.selected, "given": exploring.given, "nothing": nothing}
    _COMPONENT(key=key, data=data, on_event_change=changed, height="content")
