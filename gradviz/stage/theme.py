"""The colours of a stage: those of a picture, and what tells pending from settled.

No state is told by colour alone: what is still to come is faint, what is pending has a dashed border, what is looked at
a thick one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from gradviz.errors import InputError
from gradviz.render.theme import DARK, LIGHT, ORANGE, SKY, SLIDES, VERMILION, Paint, Theme

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTheme:
    """Colours as `#rrggbb`.

    Attributes:
        background, text, faint: of the page, of text, of what is still to come.
        arrow, backward: of an arrow that nothing has gone back along, and of one that something has.
        highlight: of what the sentence is about.
        known, pending, settled: nodes whose value is known, and whose cotangent is on the way, or complete.
        line_width: of borders and arrows, in points of the sketch.
    """

    background: str
    text: str
    faint: str
    arrow: str
    backward: str
    highlight: str
    known: Paint
    pending: Paint
    settled: Paint
    line_width: float = 1.6


def _stage_theme(theme: Theme, *, highlight: str, pending: Paint, settled: Paint) -> StageTheme:
    return StageTheme(
        background=theme.background,
        text=theme.text,
        faint=theme.faint,
        arrow=theme.arrow,
        backward=theme.backward,
        highlight=highlight,
        known=theme.paints["op"],
        pending=pending,
        settled=settled,
    )


_PENDING, _SETTLED = Paint(fill="#fff3b8", border="#8a6d00"), Paint(fill="#d9ecf9", border="#005f99")
THEMES: Final = {
    "light": _stage_theme(LIGHT, highlight=VERMILION, pending=_PENDING, settled=_SETTLED),
    "dark": _stage_theme(
        DARK,
        highlight=ORANGE,
        pending=Paint(fill="#4a3d00", border="#f0e442"),
        settled=Paint(fill="#12364d", border=SKY),
    ),
    "slides": replace(
        _stage_theme(SLIDES, highlight=VERMILION, pending=_PENDING, settled=_SETTLED), line_width=SLIDES.line_width
    ),
    "print": StageTheme(
        background="#ffffff",
        text="#000000",
        faint="#6a6a6a",
        arrow="#6a6a6a",
        backward="#000000",
        highlight="#000000",
        known=Paint(fill="#ffffff", border="#000000"),
        pending=Paint(fill="#ffffff", border="#000000"),
        settled=Paint(fill="#dcdcdc", border="#000000"),
    ),
}


def stage_theme(name: str, *, highlight: str | None = None) -> StageTheme:
    """The theme of that name, with another colour for what is looked at where one is given.

    >>> stage_theme("dark", highlight="#ff00ff").highlight
    '#ff00ff'

    Raises:
        InputError: there is no theme of that name, or the colour is not of the form `#rrggbb`.
    """
    if name not in THEMES:
        raise InputError(f"unknown theme {name!r}; accepted: {', '.join(THEMES)}")
    if highlight is None:
        return THEMES[name]
    if not isinstance(highlight, str) or not _COLOUR.fullmatch(highlight):
        raise InputError(f"highlight is {highlight!r}; accepted: a colour of the form #rrggbb")
    return replace(THEMES[name], highlight=highlight)
