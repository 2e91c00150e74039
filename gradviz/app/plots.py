"""Curves, surfaces and differences -> charts of Vega-Lite, which comes with Streamlit, and a table."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import streamlit as st

from gradviz.app.shown import theme_of_page
from gradviz.bands import Bands, bands
from gradviz.render import theme_named
from gradviz.render.theme import VERMILION
from gradviz.slices import Curve, Difference, Surface
from gradviz.view import number_text
from gradviz.view.notation import MINUS

SIDE_PX = 440
_ENDS = {"x2": {"field": "x2"}, "y2": {"field": "y2"}}


def curve_chart(curve: Curve, *, of: str, along: str) -> None:
    """The graph of a function, named `of`, along a coordinate, with its tangent."""
    ends = (curve.points[0], curve.points[-1])
    drawn = [{"x": x, "f": y} for x, y in zip(curve.points, curve.values, strict=True) if math.isfinite(y)]
    tangent = [{"x": x, "f": curve.tangent(x)} for x in ends]
    touch = [{"x": curve.at, "f": curve.value}]
    axes = _axes("x", along, "f", of)
    values = [point["f"] for point in drawn]
    if values:  # the tangent may be far steeper than the curve
        room = 0.05 * (max(values) - min(values)) or 1.0
        axes["y"]["scale"] = {"domain": [min(values) - room, max(values) + room], "zero": False}
    layers = [
        {"data": {"values": drawn}, "mark": {"type": "line", "color": theme_named(theme_of_page()).backward, "clip": True}},
        {"data": {"values": tangent}, "mark": {"type": "line", "color": VERMILION, "strokeDash": [6, 4], "clip": True}},
        {"data": {"values": touch}, "mark": {"type": "point", "filled": True, "size": 90, "color": VERMILION}},
    ]
    spec = {"height": SIDE_PX, "layer": [layer | {"encoding": axes} for layer in layers], "config": _inked()}
    st.vega_lite_chart(spec, width="stretch")
    st.caption(f"The tangent at {along} = {number_text(curve.at)} has the slope {number_text(curve.slope)}: the gradient.")


def surface_chart(surface: Surface, names: tuple[str, str], *, of: str) -> None:
    """A function, named `of`, over two variables in bands of equal height, and the direction in which it grows fastest."""
    seen, sides = bands(surface), {"x": surface.first, "y": surface.second}
    axes = _axes("x", names[0], "y", names[1])
    for axis, points in sides.items():
        axes[axis]["scale"] |= {"domain": [points[0], points[-1]]}
    middle = {axis: (points[0] + points[-1]) / 2 for axis, points in sides.items()}
    url = f"data:image/png;base64,{base64.b64encode(seen.png).decode()}"
    ground = {
        "data": {"values": [middle | {"url": url}]},
        "mark": {"type": "image", "width": SIDE_PX, "height": SIDE_PX, "aspect": False},
        "encoding": axes | {"url": {"field": "url", "type": "nominal"}},
    }
    start, tip = surface.at, surface.arrow(0.6)
    shaft = {"x": start[0], "y": start[1], "x2": tip[0], "y2": tip[1]}
    rule = {"type": "rule", "color": "white", "strokeWidth": 3}
    arrow = {"data": {"values": [shaft]}, "mark": rule, "encoding": axes | _ENDS}
    ends = [(start, "circle", 0.0), (tip, "triangle", surface.heading)]
    marks = [
        {
            "data": {"values": [{"x": spot[0], "y": spot[1]}]},
            "mark": {"type": "point", "filled": True, "size": 140, "color": "white", "shape": shape, "angle": angle},
            "encoding": axes,
        }
        for spot, shape, angle in ends
    ]
    layers = [ground, _legend(seen, middle, axes, of), *([arrow] if tip != start else []), *marks]
    spec = {"width": SIDE_PX, "height": SIDE_PX, "autosize": "pad", "layer": layers, "config": _inked()}
    st.vega_lite_chart(spec, width="content")
    gradient = ", ".join(map(number_text, surface.gradient))
    st.caption(f"The gradient ({gradient}) at the dot points to where {of} grows fastest, across the bands of equal height.")


def _legend(seen: Bands, middle: dict[str, float], axes: dict[str, Any], of: str) -> dict[str, Any]:
    """A layer that shows nothing but which colour stands for which heights, the highest first."""
    labels = [f"{number_text(low)} to {number_text(high)}" for low, high in pairwise(seen.edges)][::-1]
    colour = {
        "field": "band",
        "type": "nominal",
        "title": of,
        "scale": {"domain": labels, "range": seen.colours[::-1]},
        "legend": {"symbolType": "square", "symbolOpacity": 1, "symbolLimit": 0, "orient": "bottom", "columns": 4},
    }
    values = [middle | {"band": label} for label in labels]
    mark = {"type": "point", "filled": True, "opacity": 0}
    return {"data": {"values": values}, "mark": mark, "encoding": axes | {"color": colour}}


def difference_table(slope: float, found: Sequence[Difference], *, of: str, along: str) -> None:
    """Central differences of a function, named `of`, beside autograd's number; the nearest is marked."""
    nearest = min(found, key=lambda one: one.error if math.isfinite(one.error) else math.inf)
    strong = ' style="font-weight: bold"'
    rows = "".join(
        f"<tr{strong if one is nearest else ''}><td>{number_text(one.step)}</td>"
        f"<td>{_digits(one.estimate)}</td><td>{number_text(one.error, 2)}</td></tr>"
        for one in found
    )
    of, along = html.escape(of), html.escape(along)
    head = f"<tr><th>step h</th><th>({of}({along} + h) − {of}({along} − h)) / 2h</th><th>distance from autograd</th></tr>"
    st.html(
        "<style>.gradviz-differences td, .gradviz-differences th {text-align: left; padding: 0.15rem 1.5rem 0.15rem 0; "
        "font-variant-numeric: tabular-nums} .gradviz-differences th {opacity: 0.75; font-weight: normal}</style>"
        f'<p>autograd: <b>{_digits(slope)}</b></p><table class="gradviz-differences">{head}{rows}</table>'
    )
    st.caption(f"Large steps err because {of} bends; small ones because the two values agree in nearly all their digits.")


def _inked() -> dict[str, Any]:
    """Letters as dark as those of pictures: Streamlit's own are pale on white."""
    colours = dict.fromkeys(("labelColor", "titleColor"), theme_named(theme_of_page()).text)
    return {"axis": colours, "legend": colours}


def _axes(x: str, x_title: str, y: str, y_title: str) -> dict[str, Any]:
    titles = {"x": (x, x_title), "y": (y, y_title)}
    return {
        axis: {"field": field, "type": "quantitative", "title": title, "scale": {"zero": False, "nice": False}}
        for axis, (field, title) in titles.items()
    }


def _digits(number: float) -> str:
    return html.escape(repr(number).removesuffix(".0").replace("-", MINUS))
