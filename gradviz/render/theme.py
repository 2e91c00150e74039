"""The colours, fonts and distances of a picture, by name.

The hues are those of Okabe and Ito, which people with any common colour vision tell apart. Colour never stands alone:
shapes say leaf, op, constant or output, and marks say match, mismatch, unverified or intended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gradviz.errors import RenderError
from gradviz.view import Role, Verdict

ORANGE, SKY, GREEN = "#e69f00", "#56b4e9", "#009e73"
BLUE, VERMILION, PURPLE, BLACK = "#0072b2", "#d55e00", "#cc79a7", "#000000"

# The first is the font that comes with gradviz and measures the labels. It is wide: a label drawn in one of the others
# takes less room than was kept for it.
FONTS: Final = "DejaVu Sans,Verdana,Arial,Helvetica,sans-serif"

SHAPES: Final[dict[Role, dict[str, str]]] = {
    "leaf": {"shape": "ellipse", "margin": "0.06,0.02"},  # an ellipse around a rectangle has room to spare
    "op": {"shape": "box", "style": "rounded,filled"},
    "constant": {"shape": "note"},
    "output": {"shape": "box", "peripheries": "2"},
}
MARKS: Final[dict[Verdict, str]] = {"match": "✓", "mismatch": "✗", "unverified": "?", "intended": "≠"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    """How one kind of node is coloured."""

    fill: str
    border: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """Everything about the look of a picture. Sizes are in points, distances in inches, as Graphviz has them.

    Attributes:
        background, text, faint: of the page, of labels, of what matters less.
        arrow: the colour of an edge without a verdict.
        backward: the colour of cotangents.
        paints: role -> colours; the text on every fill is `text`.
        group: the colours of a group.
        verdicts: verdict -> colour of mark and arrow.
        node_size, edge_size, note_size: font sizes.
        line_width: of borders and arrows.
        rank_gap, node_gap: between ranks, between neighbours in a rank.
        heat_side: the size of a heat map with as many cells as fit.
    """

    background: str
    text: str
    faint: str
    arrow: str
    backward: str
    paints: dict[Role, Paint]
    group: Paint
    verdicts: dict[Verdict, str]
    node_size: float = 13
    edge_size: float = 11
    note_size: float = 10
    line_width: float = 1.2
    rank_gap: float = 0.35
    node_gap: float = 0.3
    heat_side: float = 96


LIGHT: Final = Theme(
    background="#ffffff",
    text="#1a1a1a",
    faint="#5f5f5f",
    arrow="#555555",
    backward="#005f99",
    paints={
        "leaf": Paint(fill="#ddeffb", border=BLUE),
        "op": Paint(fill="#ffffff", border="#333333"),
        "constant": Paint(fill="#f0f0f0", border="#8a8a8a"),
        "output": Paint(fill="#fdf0d5", border="#b87d00"),
    },
    group=Paint(fill="#eef4ea", border="#4f7942"),
    verdicts={"match": "#00795a", "mismatch": "#ad4a00", "unverified": "#9c4876", "intended": "#9c4876"},
)
DARK: Final = Theme(
    background="#16181d",
    text="#f2f2f2",
    faint="#a8adb5",
    arrow="#a8adb5",
    backward=SKY,
    paints={
        "leaf": Paint(fill="#12364d", border=SKY),
        "op": Paint(fill="#22262e", border="#d0d4da"),
        "constant": Paint(fill="#2d2f33", border="#8d929b"),
        "output": Paint(fill="#4a3500", border=ORANGE),
    },
    group=Paint(fill="#1e3020", border="#8fc07f"),
    verdicts={"match": "#2fd0a0", "mismatch": "#ff8c42", "unverified": "#e6a6c7", "intended": "#e6a6c7"},
)
SLIDES: Final = replace(
    LIGHT,
    text=BLACK,
    node_size=22,
    edge_size=20,
    note_size=14,
    line_width=2.2,
    rank_gap=0.5,
    node_gap=0.45,
    heat_side=144,
)
THEMES: Final = {"light": LIGHT, "dark": DARK, "slides": SLIDES}


def theme_named(name: str) -> Theme:
    """The theme of that name.

    Raises:
        RenderError: there is none.

    >>> theme_named("slides").node_size
    22
    """
    try:
        return THEMES[name]
    except KeyError:
        raise RenderError(f"unknown theme {name!r}; accepted: {', '.join(THEMES)}") from None
