"""Sets the page up and lists the pages."""

from __future__ import annotations

import streamlit as st

from gradviz.app.expression import expression_page

_STYLE = "<style>.stMainBlockContainer {padding-top: 4rem; padding-bottom: 3rem}</style>"
"""Streamlit leaves the top tenth of a page empty."""


def main() -> None:
    """Draws the app; Streamlit runs this on every change of a widget."""
    st.set_page_config(page_title="gradviz", page_icon="∂", layout="wide")
    st.html(_STYLE)
    st.navigation([st.Page(expression_page, title="Expression", icon=":material/function:", default=True)]).run()
