"""What stands below the canvas, one at a time: the steps, the derivation, the check, differences, graphs of the function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import streamlit as st

import gradviz
from gradviz.app.link import choose
from gradviz.app.plots import curve_chart, difference_table, surface_chart
from gradviz.app.sentences import show_error
from gradviz.app.stepper import stepper
from gradviz.app.tables import check_tables
from gradviz.app.tracing import TIME_LIMIT_S, Traced, Values, traced
from gradviz.player import Player
from gradviz.slices import Coordinate, coordinates, curve, differences, surface

PANELS: dict[str, str] = {
    "steps": "Step by step",
    "derivation": "Derivation",
    "check": "Check against sympy",
    "differences": "Finite differences",
    "curve": "Graph along one variable",
    "contour": "Over two variables",
}
LEVELS: dict[str, str] = {"full": "in full", "short": "in one line", "quiz": "as a quiz"}
REACHES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
KEPT_PLAYERS = 16


@st.fragment
def panels(found: Traced) -> None:
    """The chosen panel; only it is computed."""
    chosen = choose("Below the graph", PANELS, key="panel")
    draw: dict[str, Callable[[Traced], None]] = {
        "steps": _steps,
        "derivation": _derivation,
        "check": _check,
        "differences": _differences,
        "curve": _curve,
        "contour": _contour,
    }
    try:
        draw[chosen](found)
    except gradviz.GradvizError as error:
        show_error(error)


@st.cache_resource(max_entries=KEPT_PLAYERS, show_spinner=False)
def _player(text: str, values: Values, theme: Literal["light", "dark"]) -> Player:
    return traced(text, values).graph.player(theme=theme, time_limit_s=TIME_LIMIT_S)


def _steps(found: Traced) -> None:
    theme: Literal["light", "dark"] = "dark" if st.context.theme.type == "dark" else "light"
    stepper(_player(found.text, found.values, theme), key="stepper")


def _derivation(found: Traced) -> None:
    with st.container(horizontal=True):
        name = st.selectbox("Gradient of", list(found.graph.leaves), key="explained", width=200)
        level = st.segmented_control("Written", list(LEVELS), format_func=LEVELS.__getitem__, default="full", required=True)
    if name is not None:
        st.markdown(found.graph.explain(name, level=level or "full").markdown)  # type: ignore[arg-type]


def _check(found: Traced) -> None:
    st.markdown(found.report.summary)
    st.html(check_tables(found.report))


def _differences(found: Traced) -> None:
    (coordinate,) = _coordinates(found, ["Along"])
    difference_table(*differences(found.text, found.at, coordinate))


def _curve(found: Traced) -> None:
    with st.container(horizontal=True):
        (coordinate,) = _coordinates(found, ["Along"])
        reach = _reach()
    curve_chart(curve(found.text, found.at, coordinate, reach=reach), coordinate.label)


def _contour(found: Traced) -> None:
    if len(coordinates(found.at)) < 2:
        st.caption("The expression has one variable only.")
        return
    with st.container(horizontal=True):
        first, second = _coordinates(found, ["Across", "Up"])
        reach = _reach()
    if first == second:
        st.caption("Choose two different variables.")
        return
    surface_chart(surface(found.text, found.at, first, second, reach=(reach, reach)), (first.label, second.label))


def _coordinates(found: Traced, labels: list[str]) -> list[Coordinate]:
    """A choice for each label; the first coordinates to begin with."""
    known = coordinates(found.at)
    return [
        st.selectbox(label, known, index=min(place, len(known) - 1), format_func=lambda one: one.label, width=160)
        for place, label in enumerate(labels)
    ]


def _reach() -> float:
    return float(st.select_slider("Reach", REACHES, value=2.0, width=260))
