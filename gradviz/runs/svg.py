"""What the plots of a report have in common: two widths, texts whose size is known, and the element around them."""

from __future__ import annotations

import html
from collections.abc import Sequence

WIDE, NARROW = 760.0, 350.0
"""In pixels. The page shows the one or the other: a plot that shrinks with the window takes its letters along."""
LETTER = 7.4
"""How wide a letter of 12 pixels is, at most, in the fonts of the page."""


def text_width(words: str) -> float:
    """About how wide a text is, in pixels; hardly ever too small."""
    return LETTER * len(words)


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "") -> str:
    """A text that begins, ends or has its middle at x."""
    styled = (f' text-anchor="{anchor}"' if anchor != "start" else "") + (f' class="{kind}"' if kind else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{styled}>{html.escape(words)}</text>'


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """A whole picture, as wide as what is around it, if that is no wider than a third more."""
    size = f'viewBox="0 0 {width:g} {height:g}" style="max-width: {width * 4 / 3:.0f}px"'
    kind = "wide" if width == WIDE else "narrow"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" {size} role="img" aria-label="{html.escape(title)}">'
    return "\n".join([head, *parts, "</svg>"])
