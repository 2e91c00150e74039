"""What gradviz refuses, as a sentence on the page."""

from __future__ import annotations

import html

import streamlit as st

import gradviz


def show_error(error: gradviz.GradvizError) -> None:
    """The sentence and, where there is one, the line with its caret, in a font of fixed width."""
    sentence, _, caret = str(error).partition("\n")
    st.error(_plain(sentence))
    if caret:
        st.code(caret, language=None)


def show_below(error: gradviz.GradvizError | None, hint: str = "") -> None:
    """The same in small letters below a field in which someone is typing; where there is no error, a hint, as high.

    What has a brief form is shown in it, the whole where one points at it.
    """
    whole, _, caret = str(error or "").partition("\n")
    sentence = error.brief if isinstance(error, gradviz.ExpressionError) else whole
    told = f' title="{html.escape(whole)}"' if sentence != whole else ""
    lines = f"<pre>{html.escape(caret)}</pre>" if caret else ""
    lines += f'<div class="gradviz-refusal"{told} role="alert">{html.escape(sentence)}</div>' if sentence else ""
    height = ' style="min-height: 3.2rem"' if hint else ""
    st.html(f'{_STYLE}<div class="gradviz-below"{height}>{lines or html.escape(hint)}</div>')


_STYLE = """<style>
.gradviz-below {font-size: 0.85rem; line-height: 1.3; overflow-wrap: anywhere; margin-top: -0.6rem; opacity: 0.75}
.gradviz-below:has(.gradviz-refusal) {opacity: 1}
.gradviz-refusal {color: var(--gradviz-wrong)}
.gradviz-below pre {margin: 0; padding: 0; background: none; border: none; font-size: 0.85rem; line-height: 1.1;
    overflow-x: auto}
</style>"""


def _plain(text: str) -> str:
    r"""Text that Markdown shows as it is.

    >>> print(_plain("*a* [b](c) :red[d] <e>"))
    \*a\* \[b\]\(c\) \:red\[d\] \<e\>
    """
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]()#+!|<>~$:" else sign for sign in text)
