"""The player of a gradient's frames, in the page: stepping needs no answer of the server."""

from __future__ import annotations

from importlib import resources

import streamlit as st

from gradviz.player import Player, script

_COMPONENT = st.components.v2.component(
    "gradviz_stepper",
    html='<div class="gradviz-stepper"></div>',
    css=".gradviz-stepper { border: 1px solid #8886; border-radius: 0.5rem; overflow: clip; }",
    js=script() + resources.files("gradviz.app.stepper").joinpath("stepper.js").read_text(encoding="utf-8"),
)


def stepper(player: Player, *, key: str) -> None:
    """Shows a player; it stays where it is until it is given other frames."""
    _COMPONENT(key=key, data=player.data, height="content")
