"""Sets the page up and lists the pages."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from gradviz.app.expression import expression_page

_STYLE = "<style>.stMainBlockContainer {padding-top: 4rem; padding-bottom: 3rem}</style>"
"""Streamlit leaves the top tenth of a page empty."""


def main(arguments: Sequence[str] = ()) -> None:
    """Draws the app; Streamlit runs this on every change of a widget.

    Args:
        arguments: the expression to open with and its values, as in `x*y`, `x=2`, `y=3`; none for a worked example.
    """
    st.session_state.setdefault("opened with", tuple(arguments))
    st.set_page_config(page_title="gradviz", page_icon="∂", layout="wide")
    st.html(_STYLE)
    st.navigation([st.Page(expression_page, title="Expression", icon=":material/function:", default=True)]).run()
