"""A graph with what was found in it, and the choices of a visitor -> the picture of it, kept for a while."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import streamlit as st

import gradviz
from gradviz.app.canvas import canvas_data
from gradviz.app.kept import Kept
from gradviz.check import CheckReport
from gradviz.diagnose import Finding
from gradviz.render import svg_and_view
from gradviz.view import (
    HOW_TO_OPEN,
    NOT_ON_PICTURE,
    OPEN_ALREADY,
    Direction,
    Folding,
    PartOptions,
    ThemeName,
    View,
    ViewOptions,
)
from gradviz.view.extent import Extent
from gradviz.view.fit import in_columns
from gradviz.view.ranks import rows

TIME_LIMIT_S = 5.0
DRAW_LIMIT_S = 15.0
KEPT_BYTES = 128 * 2**20
BYTES_PER_ITEM = 4 * 1024
"""Of a picture, for each shape and arrow, beside the text of the SVG: measured 2 to 3 KiB."""
MOST_OPS = 2_000
"""Drawn one by one, where that is asked for."""
LONG = 4
"""Arrows in a row, from which on a picture stands upright: a screen of 1,280 pixels shows three beside each other."""
LONG_IF_NARROW = 2
"""The same on a phone, which shows one."""
CANVAS = Extent(width=1200, height=780)
"""Points of a picture that the canvas of a screen of 1,280 x 800 pixels shows where it is made as small as can be read."""
RADIUS = 6
"""Edges around a node, where only its surroundings are drawn."""
HOW_TO_OPEN_HERE = "a double click or + opens one, “every op” all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A graph and what is known of it; never changed, and shared by all who look at the same.

    Attributes:
        key: the same for the same graph with the same report.
        graph: as it was traced or loaded.
        report: what the check found; None before it, or where there can be none.
        findings: what a diagnosis found, worst first; None before it.
    """

    key: str
    graph: gradviz.GradGraph
    report: CheckReport | None = None
    findings: tuple[Finding, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was chosen about a picture; of the canvas, whether it is narrow, and may show what is long in columns."""

    theme: ThemeName = "light"
    direction: Direction | None = None
    narrow: bool = False
    in_columns: bool = False
    folding: Folding = field(default_factory=Folding)
    every_op: bool = False
    around: str = ""

    def options(self, shown: Shown) -> ViewOptions:
        """As `graph.view` and `graph.render` take them."""
        options: ViewOptions = {"report": shown.report, "findings": shown.findings or (), "theme": self.theme}
        options = {**options, "direction": self.direction or "LR", **self.part}
        return options | {"max_nodes": MOST_OPS} if self.every_op else options

    @property
    def part(self) -> PartOptions:
        """What is drawn, and what of it as one shape; the same for a picture and for slides of it."""
        part: PartOptions = {"collapse": "none" if self.every_op else "auto"}
        part |= {"unfold": self.folding.unfold if self.folding.fold or not self.every_op else (), "fold": self.folding.fold}
        return part | {"focus": self.around, "radius": RADIUS} if self.around else part


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is on a picture, without edge labels where these took too long; the picture; both as the canvas takes them."""

    view: View
    svg: str
    data: dict[str, Any]


def theme_of_page() -> Literal["light", "dark"]:
    """The one that the page has in the browser."""
    return "dark" if st.context.theme.type == "dark" else "light"


def picture(shown: Shown, look: Look) -> Picture:
    """The picture of a graph.

    Raises:
        GradvizError: a choice is not accepted, or it cannot be drawn in time.
    """
    return _kept.get((shown.key, look), lambda: _drawn(shown, look))


def picture_bytes(picture: Picture) -> int:
    """About how much memory a picture takes."""
    return sys.getsizeof(picture.svg) + BYTES_PER_ITEM * len(picture.data["items"])


_kept = Kept[Picture](KEPT_BYTES, picture_bytes)


def _drawn(shown: Shown, look: Look) -> Picture:
    view = shown.graph.view(**look.options(shown))
    of_buttons = OPEN_ALREADY, NOT_ON_PICTURE  # of names that only a button gave
    told = (note for note in view.notes if not note.startswith(of_buttons))
    notes = tuple(note.replace(HOW_TO_OPEN, HOW_TO_OPEN_HERE) for note in told)
    is_upright = look.direction is None and is_long(view, narrow=look.narrow)
    view = replace(view, notes=notes, direction="BT" if is_upright else view.direction)
    if is_upright and look.in_columns:
        view = in_columns(view, CANVAS)
    svg, view = svg_and_view(view, time_limit_s=DRAW_LIMIT_S)
    return Picture(view=view, svg=svg, data=canvas_data(view, svg, shown.graph, shown.report))


def is_long(view: View, *, narrow: bool = False) -> bool:
    """Whether so many arrows follow each other that their labels, side by side, are wider than the canvas.

    What is written on them is not measured: a picture that turns while a slider moves cannot be followed.
    """
    return max(rows(view.shapes, view.arrows).values(), default=0) >= (LONG_IF_NARROW if narrow else LONG)
