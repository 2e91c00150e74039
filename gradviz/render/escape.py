"""A name that a user chose -> text that cannot end a label of Graphviz's HTML-like language, nor start a tag in it."""

from __future__ import annotations

import html
import re

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def escaped(text: str) -> str:
    """Text for an HTML-like label that shows exactly as it is, on one line.

    >>> escaped('a<b> & "c"'), escaped(r"\\N"), escaped("x\\ny\\0")
    ('a&lt;b&gt; &amp; &quot;c&quot;', '\\\\\\\\N', 'x y\ufffd')
    """
    return html.escape(one_line(text).replace("\\", "\\\\"))


def one_line(text: str) -> str:
    """Text as a picture shows it: control characters and lone surrogates, which no XML may hold, as a replacement sign,
    line breaks as a space.

    >>> one_line("x\\ny\\0")
    'x y\ufffd'
    """
    return CONTROL.sub("\ufffd", re.sub(r"\s*[\r\n\t]+\s*", " ", text))
