"""Graphviz's SVG -> SVG that can stand in a file or inside a page: no doctype, no comments, images inside."""

from __future__ import annotations

import base64
import html
import re

_BEFORE_ROOT = re.compile(r"\A.*?(?=<svg\b)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)
_TITLE = re.compile(r"<title>.*?</title>\n?", re.DOTALL)
_ROOT = re.compile(r"<svg\b[^>]*>\n?")


def clean_svg(svg: str, *, title: str, images: dict[str, bytes]) -> str:
    """One `<svg>` element, the same for the same picture.

    Graphviz gives each node and edge a `<title>` with its internal name, which browsers show as a tooltip; only the
    picture as a whole keeps one. Images become data URIs, since an SVG file must not depend on others.

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
    for name, image in images.items():
        uri = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        text = re.sub(rf'xlink:href="[^"]*{re.escape(name)}"', f'xlink:href="{uri}" style="image-rendering:pixelated"', text)
    head = f"<title>{html.escape(title, quote=False)}</title>\n"
    return _ROOT.sub(lambda root: f'{root[0].rstrip()[:-1]} role="img">{head}', text, count=1)
