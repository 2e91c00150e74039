"""What stands below the canvas, one at a time: the steps, the derivation, the check, differences, graphs of the function."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

import gradviz
from gradviz.app.kept import Kept
from gradviz.app.link import choose, written_link
from gradviz.app.numbers import svg_image
from gradviz.app.plots import SIDE_PX, curve_chart, difference_table, surface_chart
from gradviz.app.sentences import show_error
from gradviz.app.shown import DRAW_LIMIT_S, Shown, is_long, theme_of_page
from gradviz.app.stepper import stepper
from gradviz.app.tables import check_tables
from gradviz.app.tracing import Traced
from gradviz.player import Player, player_of
from gradviz.relief import relief_svg
from gradviz.render import theme_named
from gradviz.slices import Coordinate, coordinates, curve, differences, surface
from gradviz.view.notation import NAME_LENGTH, shorten

EXPRESSION_PANELS: dict[str, str] = {
    "steps": "Step by step",
    "derivation": "Derivation",
    "check": "Check against sympy",
    "differences": "Finite differences",
    "curve": "Graph along one variable",
    "contour": "Over two variables",
}
MODEL_PANELS: dict[str, str] = {name: EXPRESSION_PANELS[name] for name in ("check", "derivation", "steps")}
LEVELS: dict[str, str] = {"full": "in full", "short": "in one line", "quiz": "as a quiz"}
REACHES = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
KEPT_BYTES = 64 * 2**20
BYTES_PER_LETTER = 8
"""Of a player, for each letter of its data as JSON: measured 6."""
CORNER_LETTERS = 14
"""Of a name beside the surface, where there is no more room."""
MOST_NODES = 200
NO_CHECK_OF_LOADED = "A saved trace has numbers, but no functions that a check could ask: run `gradviz check` on the code."
FONT_SIZE = 20.0
GROUPED_ABOVE = 60
"""In a player of more shapes letters are too small to read; where calls can be groups, they are."""


@st.fragment
@written_link()
def panels(found: Shown, accepted: Mapping[str, str], *, narrow: bool) -> None:
    """The one of the accepted panels that is chosen; only it is computed.

    Args:
        found: the graph.
        accepted: the panels, and what they are called.
        narrow: whether the page is, as on a phone.
    """
    chosen = choose("Below the graph", accepted, name="panel")
    steps = partial(_steps, narrow=narrow)
    of_graphs: dict[str, Callable[[Shown], None]] = {"steps": steps, "derivation": _derivation, "check": _check}
    of_text: dict[str, Callable[[Traced], None]] = {"differences": _differences, "curve": _curve, "contour": _contour}
    try:
        if chosen in of_graphs:
            of_graphs[chosen](found)
        elif isinstance(found, Traced):
            of_text[chosen](found)
    except gradviz.GradvizError as error:
        show_error(error)


_players = Kept[Player](KEPT_BYTES, lambda player: BYTES_PER_LETTER * len(json.dumps(player.data)))


def _steps(found: Shown, *, narrow: bool) -> None:
    theme, folded = theme_of_page(), _is_shown_in_groups(found.graph)
    most, collapse = (GROUPED_ABOVE, "auto") if folded else (MOST_NODES, "none")

    def make() -> Player:
        frames = found.graph.frames(max_nodes=most, collapse=collapse)
        lies = not (narrow or is_long(frames.views[0]))  # as on the canvas
        return player_of(
            frames,
            theme=theme,
            font_size=FONT_SIZE,
            highlight=None,
            time_limit_s=DRAW_LIMIT_S,
            direction="LR" if lies else None,
        )

    try:
        player = _players.get((found.key, theme, narrow), make)
    except gradviz.InputError:
        told = f"Steps are shown for up to {most} values; this graph has {len(found.graph):,}"
        st.caption(f"{told}, too many also in groups." if folded else f"{told}.")
        return
    if folded:
        st.caption(f"The graph has {len(found.graph):,} nodes: each group, as it is drawn at first, is one step.")
    stepper(player, key="stepper")


def _is_shown_in_groups(graph: gradviz.GradGraph) -> bool:
    return len(graph) > GROUPED_ABOVE and any(scope for _, scope in graph.nodes(data="scope"))


def _derivation(found: Shown) -> None:
    with st.container(horizontal=True):
        name = st.selectbox("Gradient of", list(found.graph.leaves), key="explained", width=200)
        level = st.segmented_control("Written", list(LEVELS), format_func=LEVELS.__getitem__, default="full", required=True)
    if name is not None:
        st.markdown(found.graph.explain(name, level=level or "full").markdown)  # type: ignore[arg-type]


def _check(found: Shown) -> None:
    if found.report is None:
        st.caption(NO_CHECK_OF_LOADED if found.graph.is_loaded else "There is no check of this graph, or not yet.")
        return
    st.markdown(found.report.summary)
    st.html(check_tables(found.report))


def _differences(found: Traced) -> None:
    (coordinate,) = _coordinates(found, ["Along"])
    difference_table(*differences(found.text, found.at, coordinate), of=_output(found), along=_short(coordinate))


def _curve(found: Traced) -> None:
    with st.container(horizontal=True):
        (coordinate,) = _coordinates(found, ["Along"])
        reach = _reach()
    curve_chart(curve(found.text, found.at, coordinate, reach=reach), of=_output(found), along=_short(coordinate))


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
    over, names = surface(found.text, found.at, first, second, reach=(reach, reach)), (_short(first), _short(second))
    flat, aside = st.columns(2)
    with flat:
        surface_chart(over, names, of=_output(found))
    with aside:
        ink = theme_named(theme_of_page()).text
        label = html.escape(f"the surface over {names[0]} and {names[1]}, with the gradient")
        corners = (shorten(first.label, CORNER_LETTERS), shorten(second.label, CORNER_LETTERS))
        st.html(svg_image(relief_svg(over, corners, ink=ink), label, style=f"width: {SIDE_PX}px"))


def _output(found: Traced) -> str:
    """What the function is called on the canvas."""
    return str(found.graph.nodes[found.graph.output]["name"])


def _short(coordinate: Coordinate) -> str:
    """As it is called on the canvas."""
    return shorten(coordinate.label, NAME_LENGTH)


def _coordinates(found: Traced, labels: list[str]) -> list[Coordinate]:
    """A choice for each label; the first coordinates to begin with."""
    known = coordinates(found.at)
    return [
        st.selectbox(label, known, index=min(place, len(known) - 1), format_func=lambda one: one.label, width=160)
        for place, label in enumerate(labels)
    ]


def _reach() -> float:
    return float(st.select_slider("Reach", REACHES, value=2.0, width=260))
