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


def show_unknown(sentence: str) -> None:
    """What was asked for and is not there, where something else is shown in its place."""
    st.warning(_plain(sentence))


def show_below(error: gradviz.GradvizError | None, hint: str = "", *, advice: str = "") -> None:
    """The same in small letters below a field in which someone is typing; where there is no error, a hint, as high.

    What has a brief form is shown in it, the whole where one points at it.

    Args:
        error: what is refused.
        hint: what is accepted.
        advice: how to get there, below the error.
    """
    whole, _, caret = str(error or "").partition("\n")
    sentence = error.brief if isinstance(error, gradviz.ExpressionError) else whole
    told = f' title="{html.escape(whole)}"' if sentence != whole else ""
    lines = f"<pre>{html.escape(caret)}</pre>" if caret else ""
    lines += f'<div class="gradviz-refusal"{told} role="alert">{html.escape(sentence)}</div>' if sentence else ""
    lines += f"<div>{html.escape(advice)}</div>" if lines and advice else ""
    height = ' style="min-height: 3.2rem"' if hint else ""
    st.html(f'{_STYLE}<div class="gradviz-below"{height}>{lines or html.escape(hint)}</div>')


def show_stale(told: str) -> None:
    """Says over all that follows in its container that it is not of what is typed, and dims it; "" where it is.

    The sentence stays in sight while the page scrolls and takes no room, so that nothing jumps while someone is typing; it
    leaves the canvas's search and buttons free, beside which it stands, or below where the page is narrow. What is refused
    for the moment of a key or two is not dimmed.
    """
    st.html(f'{_STALE}<div class="gradviz-stale" role="status">{f"<span>{html.escape(told)}</span>" if told else ""}</div>')


_STALE = """<style>
div:has(> .gradviz-stale) {overflow: visible}
.stElementContainer:has(.gradviz-stale) {position: sticky; top: 0.5rem; height: 0; margin-bottom: -1rem; z-index: 20;
    pointer-events: none}
.gradviz-stale {padding: 3rem 0.5rem 0}
@media (min-width: 60rem) {.gradviz-stale {padding-top: 0.2rem; max-width: calc(70% - 20rem)}}
.gradviz-stale > span {display: inline-block; max-width: 100%; padding: 0.2rem 0.8rem;
    border: 2px solid var(--gradviz-wrong); border-radius: 0.5rem;
    background: var(--gradviz-ground); font-weight: 600; overflow-wrap: anywhere}
.stElementContainer:has(.gradviz-stale) ~ * {transition: opacity 0.2s}
.stElementContainer:has(.gradviz-stale > span) ~ * {opacity: 0.4; transition: opacity 0.2s 0.4s}
</style>"""
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
