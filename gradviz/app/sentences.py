"""What gradviz refuses, as a sentence on the page."""

from __future__ import annotations

import streamlit as st

import gradviz


def show_error(error: gradviz.GradvizError) -> None:
    """The sentence and, where there is one, the line with its caret, in a font of fixed width."""
    sentence, _, caret = str(error).partition("\n")
    st.error(_plain(sentence))
    if caret:
        st.code(caret, language=None)


def _plain(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(_plain("*a* [b](c) :red[d] <e>"))
    \*a\* \[b\]\(c\) \:red\[d\] \<e\>
    """
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]()#+!|<>~$:" else sign for sign in text)
