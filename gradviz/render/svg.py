"""Graphviz's SVG -> SVG that can stand in a file or inside a page: no doctype, no comments, images inside."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from itertools import groupby

_BEFORE_ROOT = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_TITLE = re.compile(r"<title>.*?</title>\n?", re.DOTALL)
_ROOT = re.compile(r"<svg\b[^>]*>\n?")
_TEXTS = re.compile(r"(?:<text\b[^>]*>[^<]*</text>\n?){2,}")
_TEXT = re.compile(r"<text\b([^>]*)>([^<]*)</text>")
_PLACE = re.compile(r' (?:xml:space|text-anchor|x|y|font-family)="[^"]*"')
_Y = re.compile(r' y="([^"]*)"')


def clean_svg(svg: str, *, title: str, images: dict[str, bytes]) -> str:
    """One `<svg>` element, the same for the same picture.

    Graphviz gives each node and edge a `<title>` with its internal name, which browsers show as a tooltip; only the
    picture as a whole keeps one. Images become data URIs, since an SVG file must not depend on others.

    Graphviz places each piece of a line by itself, as wide as the font is that it measures; in another font, or where it
    rounds, a mark would stand too near or too far. Here the pieces of a line follow each other.

    Args:
        svg: what Graphviz wrote.
        title: of the whole picture.
        images: file name -> PNG.

    >>> raw = '<!DOCTYPE svg><svg width="1pt"><!-- a --><g><title>a</title></g></svg>'
    >>> print(clean_svg(raw, title="x < y", images={}))
    <svg width="1pt" role="img"><title>x &lt; y</title>
    <g></g></svg>
    """
    text = _TITLE.sub("", _COMMENT.sub("", _BEFORE_ROOT.sub("", svg, count=1)))
    text = _TEXTS.sub(lambda texts: "".join(_lines(texts[0])), text)
    for name, image in images.items():
        uri = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        text = re.sub(rf'xlink:href="[^"]*{re.escape(name)}"', f'xlink:href="{uri}" style="image-rendering:pixelated"', text)
    head = f"<title>{html.escape(title, quote=False)}</title>\n"
    return _ROOT.sub(lambda root: f'{root[0].rstrip()[:-1]} role="img">{head}', text, count=1)


def _lines(texts: str) -> Iterator[str]:
    """Neighbouring `<text>` elements, those on one line made one, with a `<tspan>` for each piece.

    >>> print(*_lines('<text x="1" y="2">a</text><text x="9" y="2" fill="red">b</text>'))
    <text x="1" y="2"><tspan>a</tspan><tspan fill="red">b</tspan></text>
    """
    for _, line in groupby(_TEXT.findall(texts), key=lambda piece: _Y.findall(piece[0])):
        pieces = list(line)
        if len(pieces) == 1:
            yield "<text{}>{}</text>\n".format(*pieces[0])
            continue
        place = "".join(found[0] for found in _PLACE.finditer(pieces[0][0]))
        spans = "".join(f"<tspan{_PLACE.sub('', attributes)}>{words}</tspan>" for attributes, words in pieces)
        yield f"<text{place}>{spans}</text>\n"
