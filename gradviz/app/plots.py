"""Curves, surfaces and differences -> charts of Vega-Lite, which comes with Streamlit, and a table."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import streamlit as st

from gradviz.app.shown import theme_of_page
from gradviz.bands import Bands, bands
from gradviz.render import theme_named
from gradviz.render.theme import VERMILION
from gradviz.slices import Curve, Difference, Surface
from gradviz.view import number_text
from gradviz.view.notation import digits_text

SIDE_PX = 440
LETTER_PX = 13
"""Of what a phone shows at three quarters of its size."""
DRAWABLE = 8e307
"""The difference of two numbers beyond may overflow, and JSON has no infinity."""
_ENDS = {"x2": {"field": "x2"}, "y2": {"field": "y2"}}


def curve_chart(curve: Curve, *, of: str, along: str) -> None:
    """The graph of a function, named `of`, along a coordinate, with its tangent."""
    drawn = _drawable(zip(curve.points, curve.values, strict=True))
    values = [point["f"] for point in drawn if point["f"] is not None]
    if not values:
        st.caption(f"There is no graph: {of} is not finite around {along} = {number_text(curve.at)}.")
        return
    tangent = _drawable((x, curve.tangent(x)) for x in (curve.points[0], curve.points[-1]))
    touch = _drawable([(curve.at, curve.value)])
    axes = _axes(along, "f", of)
    room = 0.05 * (max(values) - min(values)) or 1.0
    axes["y"]["scale"] = {"domain": [min(values) - room, max(values) + room], "zero": False}  # a tangent may be far steeper
    layers = [
        {"data": {"values": drawn}, "mark": {"type": "line", "color": theme_named(theme_of_page()).backward, "clip": True}},
        {"data": {"values": tangent}, "mark": {"type": "line", "color": VERMILION, "strokeDash": [6, 4], "clip": True}},
        {"data": {"values": touch}, "mark": {"type": "point", "filled": True, "size": 90, "color": VERMILION}},
    ]
    spec = {"height": SIDE_PX, "layer": [layer | {"encoding": axes} for layer in layers], "config": _inked()}
    st.vega_lite_chart(spec, width="stretch")
    place, slope = f"{along} = {number_text(curve.at)}", number_text(curve.slope)
    if math.isfinite(curve.slope) and math.isfinite(curve.value):
        st.caption(f"The tangent at {place} has the slope {slope}: the gradient.")
    else:
        st.caption(f"There is no tangent at {place}: {of} is {number_text(curve.value)}, and the gradient is {slope}.")


def surface_chart(surface: Surface, names: tuple[str, str], *, of: str) -> None:
    """A function, named `of`, over two variables in bands of equal height, and the direction in which it grows fastest."""
    if not any(math.isfinite(value) for row in surface.values for value in row):
        st.caption(f"There is no graph: {of} is not finite around this point.")
        return
    seen, sides = bands(surface), {"x": surface.first, "y": surface.second}
    axes = _axes(names[0], "y", names[1])
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
    has_direction = tip != start
    ends = [(start, "circle", 0.0), *([(tip, "triangle", surface.heading)] if has_direction else [])]
    marks = [
        {
            "data": {"values": [{"x": spot[0], "y": spot[1]}]},
            "mark": {"type": "point", "filled": True, "size": 140, "color": "white", "shape": shape, "angle": angle},
            "encoding": axes,
        }
        for spot, shape, angle in ends
    ]
    layers = [ground, _legend(seen, middle, axes, of), *([arrow] if has_direction else []), *marks]
    config = {name: role | {"labelFontSize": LETTER_PX, "titleFontSize": LETTER_PX} for name, role in _inked().items()}
    spec = {"width": SIDE_PX, "height": SIDE_PX, "autosize": "pad", "layer": layers, "config": config}
    st.vega_lite_chart(spec, width="content")
    told = f"points to where {of} grows fastest, across the bands of equal height" if has_direction else "has no direction"
    st.caption(f"The gradient ({', '.join(map(number_text, surface.gradient))}) at the dot {told}.")


def _legend(seen: Bands, middle: dict[str, float], axes: dict[str, Any], of: str) -> dict[str, Any]:
    """A layer that shows nothing but which colour stands for which heights, the highest first."""
    labels = [f"{number_text(low)} to {number_text(high)}" for low, high in pairwise(seen.edges)][::-1]
    columns = max(1, int(SIDE_PX / (0.6 * LETTER_PX * max(map(len, labels)) + 30)))
    colour = {
        "field": "band",
        "type": "nominal",
        "title": of,
        "scale": {"domain": labels, "range": seen.colours[::-1]},
        "legend": {"symbolType": "square", "symbolOpacity": 1, "symbolLimit": 0, "orient": "bottom", "columns": columns},
    }
    values = [middle | {"band": label} for label in labels]
    mark = {"type": "point", "filled": True, "opacity": 0}
    return {"data": {"values": values}, "mark": mark, "encoding": axes | {"color": colour}}


def difference_table(slope: float, found: Sequence[Difference], *, of: str, along: str) -> None:
    """Central differences of a function, named `of`, beside autograd's number; the nearest is marked."""
    nearest = min((one for one in found if math.isfinite(one.error)), key=lambda one: one.error, default=None)
    strong = ' style="font-weight: bold"'
    rows = "".join(
        f"<tr{strong if one is nearest else ''}><td>{number_text(one.step)}</td>"
        f"<td>{digits_text(one.estimate)}</td><td>{number_text(one.error, 2)}</td></tr>"
        for one in found
    )
    of, along = html.escape(of), html.escape(along)
    head = f"<tr><th>step h</th><th>({of}({along} + h) − {of}({along} − h)) / 2h</th><th>distance from autograd</th></tr>"
    st.html(
        "<style>.gradviz-differences {display: block; overflow-x: auto} "
        ".gradviz-differences td, .gradviz-differences th {text-align: left; padding: 0.15rem 1.5rem 0.15rem 0; "
        "font-variant-numeric: tabular-nums} .gradviz-differences th {opacity: 0.75; font-weight: normal}</style>"
        f'<p>autograd: <b>{digits_text(slope)}</b></p><table class="gradviz-differences">{head}{rows}</table>'
    )
    if nearest is None:
        st.caption("Nothing can be compared: on one side the number is not finite.")
        return
    st.caption(f"Large steps err because {of} bends; small ones because the two values agree in nearly all their digits.")


def _inked() -> dict[str, Any]:
    """Letters as dark as those of pictures: Streamlit's own are pale on white."""
    colours = dict.fromkeys(("labelColor", "titleColor"), theme_named(theme_of_page()).text)
    return {"axis": colours, "legend": colours}


def _axes(x_title: str, y: str, y_title: str) -> dict[str, Any]:
    titles = {"x": ("x", x_title), "y": (y, y_title)}
    return {
        axis: {
            "field": field,
            "type": "quantitative",
            "title": title,
            "scale": {"zero": False, "nice": False},
            "axis": {"format": "~g"},
        }
        for axis, (field, title) in titles.items()
    }


def _drawable(points: Iterable[tuple[float, float]]) -> list[dict[str, float | None]]:
    """Points as Vega-Lite takes them; a line has a gap where there is no number."""
    return [{"x": x, "f": y if abs(y) < DRAWABLE else None} for x, y in points]
