"""A small matrix of numbers -> coloured cells: a PNG image, or a table in Graphviz's HTML-like labels.

Drawn pictures use the image: it has no seams between cells and costs Graphviz nothing, where a table of 32 x 32 cells
takes 90 KB of SVG and 15 ms. Exported DOT text uses the table, because it has to stand alone.
"""

from __future__ import annotations

import math
import zlib

from gradviz.render.png import png
from gradviz.render.theme import BLUE, VERMILION
from gradviz.view import HeatMap

NAN, INFINITE = "#000000", "#f0e442"
PIXELS = 8
"""The side of a cell in the image; renderers smooth an image when they scale it, which must not blur whole cells."""

Colour = tuple[int, int, int]


def cell_colour(value: float, limit: float) -> str:
    """Blue at `-limit`, white at 0, vermilion at `limit`; black for NaN, yellow for an infinity.

    >>> cell_colour(0.0, 2.0), cell_colour(2.0, 2.0), cell_colour(-2.0, 2.0), cell_colour(float("nan"), 2.0)
    ('#ffffff', '#d55e00', '#0072b2', '#000000')
    """
    return "#{:02x}{:02x}{:02x}".format(*_colour(value, limit))


def cell_side(heat: HeatMap, longest: float) -> int:
    """The side of a cell in whole points, so that the map is at most about `longest` points long.

    >>> [cell_side(HeatMap(values=((0.0,) * columns,), limit=0.0), 72) for columns in (32, 16, 2)]
    [3, 5, 12]
    """
    return max(3, min(12, math.ceil(longest / max(heat.rows, heat.columns))))


def heat_table(heat: HeatMap, side: int) -> str:
    """The map as a table of coloured cells, each `side` points wide."""
    size = f'FIXEDSIZE="TRUE" WIDTH="{side}" HEIGHT="{side}"'
    rows = ("".join(f'<TD BGCOLOR="{cell_colour(value, heat.limit)}" {size}></TD>' for value in row) for row in heat.values)
    body = "".join(f"<TR>{row}</TR>" for row in rows)
    return heat_frame(heat, side, body)


def heat_frame(heat: HeatMap, side: int, rows: str) -> str:
    """A table around `rows` that keeps the map's own size, however wide the node is."""
    size = f'FIXEDSIZE="TRUE" WIDTH="{heat.columns * side + 2}" HEIGHT="{heat.rows * side + 2}"'
    return f'<TABLE BORDER="1" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" {size}>{rows}</TABLE>'


def heat_png(heat: HeatMap) -> bytes:
    """The map as a PNG image with `PIXELS` x `PIXELS` pixels per cell."""
    lines = []
    for row in heat.values:
        pixels = b"".join(bytes(_colour(value, heat.limit)) * PIXELS for value in row)
        lines.append((b"\0" + pixels) * PIXELS)
    return png(heat.columns * PIXELS, heat.rows * PIXELS, 2, [(b"IDAT", zlib.compress(b"".join(lines)))])


def _colour(value: float, limit: float) -> Colour:
    if math.isnan(value):
        return _rgb(NAN)
    if math.isinf(value):
        return _rgb(INFINITE)
    share = value / limit if limit else 0.0
    end = _rgb(VERMILION if share > 0 else BLUE)
    red, green, blue = (round(255 + (channel - 255) * min(1.0, abs(share))) for channel in end)
    return red, green, blue


def _rgb(colour: str) -> Colour:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
