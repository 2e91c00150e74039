"""Sets the page up and shows the one that is chosen.

Streamlit's own navigation gives each page a path of its own, below which the browser then asks for Streamlit's own files in
vain, an error in its console. Here the page is one more piece of state in the address: `/?page=model`.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gradviz.app.expression import expression_page
from gradviz.app.link import choose, clear_link, follow_link, written_link
from gradviz.app.model import model_page, target_of_command_line
from gradviz.app.shown import theme_of_page
from gradviz.render import theme_named

_STYLE = """<style>
:root {--gradviz-wrong: WRONG; --gradviz-ground: GROUND; --gradviz-canvas: min(44rem, 70vh)}
@media (max-width: 40rem) {:root {--gradviz-canvas: min(34rem, 60vh)}}
h1.gradviz {font-size: 1.35rem; font-weight: 600; line-height: 1; margin: 0; padding: 0 0.5rem 0 0}
.stMainBlockContainer {padding: 1.2rem clamp(1rem, 3vw, 3rem) 3rem}
.stAppHeader {background: transparent}
.stAppHeader, .stAppHeader * {pointer-events: none}
.stAppHeader button, .stAppHeader button * {pointer-events: auto}
.katex-display {overflow-x: auto; overflow-y: hidden; padding: 0.2rem 0}
.katex-display > .katex, .katex-display > .katex > .katex-html {white-space: normal}
.katex-display > .katex > .katex-html > .base {margin: 0.15em 0}
[data-testid=stMarkdownContainer] :is(p, h1, h2, h3, h4):has(> .katex) {overflow-x: auto; overflow-y: hidden}
.gradviz-verdict td + td {overflow-wrap: anywhere}
[data-testid=stHeaderActionElements] {display: none}
[data-testid=stVegaLiteChart] {max-width: 100%}
[data-testid=stVegaLiteChart] svg.marks {max-width: 100%; height: auto}
</style>"""
"""Streamlit leaves the top tenth of a page empty, lays a bar over it that holds one button, clips what is too wide, and
puts a link into each heading, one more stop on the way with Tab that leads to where one is.

The height of the canvas, its ground and the colour of what is wrong are said here once: the style sheets of components
inherit them.
"""
PAGES = {"expression": "Expression", "model": "Model"}
KEPT_OF_ADDRESS = ("expression exploring", "model exploring", "model chosen")
"""What pages take from the address where it is not in the session yet."""


def main(arguments: Sequence[str] = ()) -> None:
    """Draws the app; Streamlit runs this on every change of a widget.

    Args:
        arguments: what to open with: an expression and its values, as in `x*y`, `x=2`, `y=3`, or a function in a file, as in
            `train.py:step`, or a saved trace, `run.gradviz`; none for a worked example.
    """
    st.session_state.setdefault("opened with", tuple(arguments))
    st.set_page_config(page_title="gradviz", page_icon="∂", layout="wide")
    theme = theme_named(theme_of_page())
    st.html(_STYLE.replace("WRONG", theme.verdicts["mismatch"]).replace("GROUND", theme.background))
    first = "model" if target_of_command_line() else "expression"
    pages = {first: PAGES[first]} | PAGES
    if follow_link():
        for kept in KEPT_OF_ADDRESS:
            st.session_state.pop(kept, None)
    with written_link():
        with st.container(horizontal=True, vertical_alignment="center"):
            st.html('<h1 class="gradviz">gradviz</h1>', width="content")
            page = choose("Page", pages, name="page", on_change=clear_link)
        if page == "model":
            model_page()
        else:
            expression_page()
