"""The player of a gradient's frames, in the page: stepping needs no answer of the server."""

from __future__ import annotations

from importlib import resources

import streamlit as st

from gradviz.player import Player, script

_STYLE = """
.gradviz-stepper { border: 1px solid #8886; border-radius: 0.5rem; overflow: clip; }
.gradviz-stepper .gradviz-player { padding-block: 0.5rem; gap: 0.4rem; }
@media (min-width: 40rem) { .gradviz-stepper .stage > svg { max-height: max(14rem, min(68vh, 100vh - 22rem)); } }
"""
"""Choices of the page, title, sentence and controls stand above and below the drawing: all of it fits into a window."""
_COMPONENT = st.components.v2.component(
    "gradviz_stepper",
    html='<div class="gradviz-stepper"></div>',
    css=_STYLE,
    js=script() + resources.files("gradviz.app.stepper").joinpath("stepper.js").read_text(encoding="utf-8"),
)


def stepper(player: Player, *, key: str) -> None:
    """Shows a player; it stays where it is until it is given other frames."""
    _COMPONENT(key=key, data=player.data, height="content")
