"""Series -> SVG: a heat map with a row for each series, a cell for each step, and first and last number in words.

Colour never stands alone: each cell tells its number where the pointer rests, and what is not finite is a ✗.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence

from gradviz.render.theme import BLUE, VERMILION
from gradviz.runs.series import Series
from gradviz.runs.svg import LETTER, NARROW, WIDE, svg, text, text_width
from gradviz.view.notation import number_text, shorten

ROW, HEAD = 18.0, 24.0
GAP = 8.0
WIDEST_CELL = 48.0
CELLS = 60
"""How many steps a row shows; of more, these are spread evenly."""
NAME_LENGTH = 38
Shade = Callable[[float], tuple[str, float]]
"""A number -> a colour and how strong it is, from 0 to 1."""


def heat_map(series: Sequence[Series], title: str, shade: Shade, *, ranks: bool, width: float = WIDE) -> str:
    """A row for each series; in a narrow one the words stand above the cells.

    Args:
        series: all over the same steps.
        title: for who cannot see the plot.
        shade: a number -> a colour and how strong it is, from 0 to 1.
        ranks: whether to write the rank with each name.
        width: in pixels.
    """
    if not series:
        return ""
    steps = series[0].steps
    count = len(steps)
    places = list(range(count)) if count <= CELLS else [round(place * (count - 1) / (CELLS - 1)) for place in range(CELLS)]
    names = [_name(one, ranks) for one in series]
    ends = [_ends(one) for one in series]
    beside = width > NARROW
    room = max(map(text_width, ends)) + GAP if beside else 0.0
    left = min(max(map(text_width, names)), NAME_LENGTH * LETTER) + GAP if beside else 0.0
    cell = min(WIDEST_CELL, (width - left - room) / len(places))
    parts = [text(left, HEAD - 8, f"step {steps[0]}", kind="faint")]
    if count > 1 and cell * len(places) > text_width(f"step {steps[0]}{steps[-1]}") + GAP:
        parts.append(text(left + len(places) * cell, HEAD - 8, str(steps[-1]), "end", "faint"))
    for row, (one, name, end) in enumerate(zip(series, names, ends, strict=True)):
        top = HEAD + row * (ROW if beside else 2 * ROW)
        if beside:
            parts += [text(left - GAP, top + 13, shorten(name, NAME_LENGTH), "end")]
            parts += [text(left + len(places) * cell + GAP, top + 13, end)]
        else:
            fits = int((width - text_width(end)) / LETTER) - 1
            parts += [text(0, top + 13, shorten(name, fits)), text(width, top + 13, end, "end", "faint")]
            top += ROW
        for column, place in enumerate(places):
            value = one.values[place]
            if value is not None:
                parts.append(_cell(left + column * cell, top, cell, value, f"{name}, step {steps[place]}", shade))
    return svg(width, HEAD + len(series) * (ROW if beside else 2 * ROW) + GAP, title, parts)


def gain_shade(value: float) -> tuple[str, float]:
    """Blue where a gradient shrinks, vermilion where it grows; full at a factor of 16.

    >>> gain_shade(1.0)[1], gain_shade(16.0)[1]
    (0.0, 1.0)
    """
    strength = min(1.0, abs(math.log2(value)) / 4) if value > 0 else 1.0
    return (VERMILION if value > 1 else BLUE), strength


def share_shade(value: float) -> tuple[str, float]:
    """Vermilion, as strong as the share is large."""
    return VERMILION, value


def norm_shade(series: Sequence[Series]) -> Shade:
    """Blue, from the smallest number of all to the largest, on a logarithmic scale."""
    known = [math.log(value) for one in series for value in one.known if value > 0]
    low, high = min(known, default=0.0), max(known, default=1.0)

    def shade(value: float) -> tuple[str, float]:
        return BLUE, (0.08 + 0.92 * (math.log(value) - low) / ((high - low) or 1.0)) if value > 0 else 0.0

    return shade


def _name(series: Series, ranks: bool) -> str:
    rank = "" if not ranks else " · all ranks" if series.rank is None else f" · rank {series.rank}"
    return f"{series.name or 'the model'}{rank}"


def _ends(series: Series) -> str:
    known = [value for value in series.values if value is not None]
    return f"{number_text(known[0])} → {number_text(known[-1])}" if known else ""


def _cell(left: float, top: float, width: float, value: float, where: str, shade: Shade) -> str:
    tip = f"<title>{html.escape(where)}: {number_text(value)}</title>"
    box = f'x="{left:.1f}" y="{top:g}" width="{max(1.0, width - 1):.1f}" height="{ROW - 2:g}"'
    if not math.isfinite(value):
        middle = f'x="{left + (width - 1) / 2:.1f}" y="{top + 13:g}"'
        return f'<g>{tip}<rect {box} class="broken"/><text {middle} text-anchor="middle" class="broken-mark">✗</text></g>'
    colour, strength = shade(value)
    return f'<rect {box} fill="{colour}" fill-opacity="{strength:.2f}" class="cell">{tip}</rect>'
