"""A graph -> the canvas with its choices and exports, and beside it what is known of what is selected there."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import streamlit as st

import gradviz
from gradviz.app.canvas import canvas
from gradviz.app.exploring import Exploring
from gradviz.app.exports import exports
from gradviz.app.glance import LISTS, PANEL, PLACE, glance
from gradviz.app.inspector import NOTHING, inspector
from gradviz.app.link import choose, write_link, written_link
from gradviz.app.lists import findings_list, modules_list
from gradviz.app.sentences import show_error
from gradviz.app.shown import Look, Picture, Shown, picture, theme_of_page
from gradviz.view import Direction, Folding

DIRECTIONS: dict[str, str] = {"auto": "as it fits", "LR": "left to right", "BT": "bottom up"}
DETAILS: dict[str, str] = {"groups": "in groups", "ops": "every op"}
BESIDE: dict[str, str] = {"selected": "Selected", "modules": "Modules", "findings": "Findings"}


@st.fragment
@written_link()
def explorer(shown: Shown, exploring: Exploring, *, page: str, of_model: bool, narrow: bool) -> None:
    """Canvas and what is beside it; what is opened or closed on the canvas runs only this again.

    Args:
        shown: the graph.
        exploring: what is selected and open; changes with what is clicked.
        page: its name, for the keys of widgets.
        of_model: whether there may be groups, and modules and findings to list.
        narrow: whether the canvas was when the whole page was drawn.
    """
    if exploring.narrow != narrow:  # what stands below is drawn for it too
        st.rerun()
    left, right = st.columns([3, 1.25])
    with left:
        place = st.container()
        with st.container(horizontal=True, vertical_alignment="center"):
            look = _look(exploring, of_model)
            found = _drawn(shown, look, exploring)
            if found is None:
                return
            look, drawn = found
            exploring.settle(drawn.view)
            if exploring.folding != Folding():
                st.button("Fold as at first", icon=":material/unfold_less:", on_click=_fold_all, args=(exploring,))
            if exploring.around:
                st.button("Whole graph", icon=":material/zoom_out_map:", on_click=_whole, args=(exploring,))
            exports(shown, look, drawn.view)
        wanted = exploring.wanted  # before it is drawn: what a visitor does meanwhile is to be drawn after it
        with place:
            canvas(drawn.data, exploring, shown.graph, key=f"{page} canvas")
    exploring.drawn = wanted
    folding = exploring.folding
    write_link({"unfold": folding.unfold, "fold": folding.fold, "around": [exploring.around]})
    with right, st.container(key=LISTS if of_model else None):
        _beside(shown, exploring, drawn, page, of_model)


def _drawn(shown: Shown, look: Look, exploring: Exploring) -> tuple[Look, Picture] | None:
    """The picture and the choices that it shows; without what is open and left out where a link names what is not there."""
    plain = replace(look, folding=Folding(), around="")
    for tried in dict.fromkeys((look, plain)):
        try:
            drawn = picture(shown, tried)
        except gradviz.GradvizError as error:
            exploring.folding, exploring.around = Folding(), ""
            show_error(error)
        else:
            return tried, drawn
    return None


def _look(exploring: Exploring, of_model: bool) -> Look:
    direction = choose("Direction", DIRECTIONS, name="direction")
    every_op = of_model and choose("Detail", DETAILS, name="detail") == "ops"
    chosen = None if direction == "auto" else cast(Direction, direction)
    return Look(
        theme=theme_of_page(),
        direction=chosen,
        narrow=exploring.narrow,
        in_columns=of_model and not exploring.narrow,
        folding=exploring.folding,
        every_op=every_op,
        around=exploring.around,
    )


def _whole(exploring: Exploring) -> None:
    exploring.around = ""


def _fold_all(exploring: Exploring) -> None:
    exploring.folding = Folding()


@st.fragment
@written_link()
def _beside(shown: Shown, exploring: Exploring, drawn: Picture, page: str, of_model: bool) -> None:
    """What is known of what is selected, or a list; a selection on the canvas runs only this again."""
    if not exploring.is_drawn:  # something here selected, opened or closed something there
        st.rerun()
    write_link({"selected": [exploring.selected]})
    beside = "selected"
    if of_model:
        beside = choose("Beside the graph", BESIDE, name="beside")
    with st.container(key=PLACE):
        with st.container(key=PANEL, border=True):
            if beside == "modules":
                modules_list(shown, drawn.view, exploring)
            elif beside == "findings":
                findings_list(shown, drawn.view, exploring)
            else:
                inspector(shown, drawn.view, exploring)
        nothing = NOTHING if beside == "selected" else None
        glance(exploring, lambda event: exploring.happened(event, shown.graph), nothing=nothing, key=f"{page} glance")
