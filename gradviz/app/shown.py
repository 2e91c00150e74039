"""A graph with what was found in it, and the choices of a visitor -> the picture of it, kept for a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import streamlit as st

import gradviz
from gradviz.app.canvas import canvas_data
from gradviz.check import CheckReport
from gradviz.diagnose import Finding
from gradviz.render import svg_text
from gradviz.view import Direction, Folding, ThemeName, View, ViewOptions

TIME_LIMIT_S = 5.0
KEPT_PICTURES = 64
MOST_OPS = 2_000
"""Drawn one by one, where that is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A graph and what is known of it; never changed, and shared by all who look at the same.

    Attributes:
        key: the same for the same graph with the same report.
        graph: as it was traced or loaded.
        report: what the check found; None before it, or where there can be none.
        findings: what a diagnosis found, worst first.
    """

    key: str
    graph: gradviz.GradGraph
    report: CheckReport | None = None
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was chosen about a picture."""

    theme: ThemeName = "light"
    direction: Direction | None = None
    folding: Folding = field(default_factory=Folding)
    every_op: bool = False

    def options(self, shown: Shown) -> ViewOptions:
        """As `graph.view` and `graph.render` take them."""
        options: ViewOptions = {"report": shown.report, "findings": shown.findings, "theme": self.theme}
        options |= {"direction": self.direction, "unfold": self.folding.unfold, "fold": self.folding.fold}
        return options | {"collapse": "none", "max_nodes": MOST_OPS} if self.every_op else options


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is on a picture, the picture, and both as the canvas takes them."""

    view: View
    svg: str
    data: dict[str, Any]


@st.cache_resource(max_entries=KEPT_PICTURES, show_spinner=False)
def picture(key: str, look: Look, _shown: Shown) -> Picture:
    """The picture of a graph; `key` is that of `_shown`.

    Raises:
        GradvizError: a choice is not accepted, or it cannot be drawn in time.
    """
    view = _shown.graph.view(**look.options(_shown))
    svg = svg_text(view, time_limit_s=TIME_LIMIT_S)
    return Picture(view=view, svg=svg, data=canvas_data(view, svg, _shown.graph, _shown.report))
