"""Series -> SVG: curves over the steps, and heat maps with a row for each series. Both carry their own style.

Colours are those of the pictures and never stand alone: curves differ in dash and mark, a heat map writes its first and last
numbers beside each row, each cell tells its number where the pointer rests, and what is not finite is a ✗.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from itertools import cycle

from gradviz.render.theme import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from gradviz.runs.series import Series
from gradviz.view.notation import number_text, shorten

WIDTH, HEIGHT = 760.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 70.0, 20.0, 30.0, 36.0
ROW, CELL, LABEL, NUMBERS = 18.0, 26.0, 290.0, 150.0
CELLS = 60
"""How many steps a heat map shows; of more, these are spread evenly."""
NAME_LENGTH = 38
Shade = Callable[[float], tuple[str, float]]
"""A number -> a colour and how strong it is, from 0 to 1."""
_STYLES = ((BLUE, ""), (VERMILION, "7 3"), (GREEN, "2 3"), (PURPLE, "9 3 2 3"), (ORANGE, "4 2"))


def curves(series: Sequence[Series], title: str) -> str:
    """Curves of positive numbers over the steps, on a logarithmic scale.

    Args:
        series: all over the same steps.
        title: for who cannot see the plot.
    """
    known = [value for one in series for value in one.known if value > 0]
    if not known:
        return ""
    steps = series[0].steps
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    high += low == high

    def across(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((step - steps[0]) / ((steps[-1] - steps[0]) or 1))

    def up(value: float) -> float:
        part = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * part

    parts = [*_decades(low, high, up), *_step_ticks(steps, across)]
    for one, (colour, dash) in zip(series, cycle(_STYLES), strict=False):
        parts += _curve(one, colour, dash, across, up)
    return _svg(WIDTH, HEIGHT, title, [*parts, *_legend(series)])


def heat_map(series: Sequence[Series], title: str, shade: Shade, *, ranks: bool) -> str:
    """A row for each series, a cell for each step.

    Args:
        series: all over the same steps.
        title: for who cannot see the plot.
        shade: a number -> a colour and how strong it is, from 0 to 1.
        ranks: whether to write the rank with each name.
    """
    if not series:
        return ""
    count = len(series[0].steps)
    places = list(range(count)) if count <= CELLS else [round(place * (count - 1) / (CELLS - 1)) for place in range(CELLS)]
    cell = min(CELL, (WIDTH - LABEL - NUMBERS) / len(places))
    parts = []
    for row, one in enumerate(series):
        top = TOP + row * ROW
        rank = "" if not ranks else " · all ranks" if one.rank is None else f" · rank {one.rank}"
        name = f"{one.name or 'the model'}{rank}"
        label = html.escape(shorten(one.name or "the model", NAME_LENGTH) + rank)
        parts.append(f'<text x="{LABEL - 8:g}" y="{top + 13:g}" text-anchor="end">{label}</text>')
        for column, place in enumerate(places):
            value = one.values[place]
            if value is not None:
                parts.append(_cell(LABEL + column * cell, top, cell, value, f"{name}, step {one.steps[place]}", shade))
        known = [value for value in one.values if value is not None]
        ends = f"{number_text(known[0])} → {number_text(known[-1])}" if known else ""
        parts.append(f'<text x="{LABEL + len(places) * cell + 8:g}" y="{top + 13:g}">{ends}</text>')
    steps = series[0].steps
    ticks = {0, len(places) - 1}
    parts += [
        f'<text x="{LABEL + (place + 0.5) * cell:g}" y="{TOP - 8:g}" text-anchor="middle">{steps[places[place]]}</text>'
        for place in sorted(ticks)
    ]
    parts.append(f'<text x="{LABEL - 8:g}" y="{TOP - 8:g}" text-anchor="end" class="faint">step</text>')
    return _svg(WIDTH, TOP + len(series) * ROW + 8, title, parts)


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


def _cell(left: float, top: float, width: float, value: float, where: str, shade: Shade) -> str:
    tip = f"<title>{html.escape(where)}: {number_text(value)}</title>"
    box = f'x="{left:.1f}" y="{top:g}" width="{max(1.0, width - 1):.1f}" height="{ROW - 2:g}"'
    if not math.isfinite(value):
        middle = f'x="{left + (width - 1) / 2:.1f}" y="{top + 13:g}"'
        return f'<g>{tip}<rect {box} class="broken"/><text {middle} text-anchor="middle" class="broken-mark">✗</text></g>'
    colour, strength = shade(value)
    return f'<rect {box} fill="{colour}" fill-opacity="{strength:.2f}" class="cell">{tip}</rect>'


def _decades(low: int, high: int, up: Callable[[float], float]) -> list[str]:
    parts = []
    for exponent in range(low, high + 1, max(1, math.ceil((high - low) / 6))):
        y = up(10.0**exponent)
        parts.append(f'<line x1="{LEFT:g}" y1="{y:.1f}" x2="{WIDTH - RIGHT:g}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end">{number_text(10.0**exponent)}</text>')
    return parts


def _step_ticks(steps: Sequence[int], across: Callable[[float], float]) -> list[str]:
    chosen = sorted({steps[round(place * (len(steps) - 1) / 5)] for place in range(6)})
    ticks = [
        f'<text x="{across(step):.1f}" y="{HEIGHT - BOTTOM + 18:g}" text-anchor="middle">{step}</text>' for step in chosen
    ]
    return [*ticks, f'<text x="{LEFT - 16:g}" y="{HEIGHT - BOTTOM + 18:g}" text-anchor="end" class="faint">step</text>']


def _curve(
    series: Series, colour: str, dash: str, across: Callable[[float], float], up: Callable[[float], float]
) -> list[str]:
    """Lines between neighbours that are known, a dot for each, a ✗ at the top for what is not finite."""
    parts = []
    run: list[str] = []
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    for step, value in (*zip(series.steps, series.values, strict=True), (0, None)):
        if value is not None and math.isfinite(value):
            run.append(f"{across(step):.1f},{up(value):.1f}")
            tip = f"<title>{html.escape(_legend_name(series))}, step {step}: {number_text(value)}</title>"
            parts.append(f'<circle cx="{across(step):.1f}" cy="{up(value):.1f}" r="3" fill="{colour}">{tip}</circle>')
            continue
        if len(run) > 1:
            parts.append(f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>')
        run = []
        if value is not None:
            tip = f"<title>{html.escape(_legend_name(series))}, step {step}: {number_text(value)}</title>"
            mark = f'x="{across(step):.1f}" y="{TOP + 4:g}" text-anchor="middle" fill="{colour}"'
            parts.append(f'<text {mark} class="mark">✗{tip}</text>')
    return parts


def _legend(series: Sequence[Series]) -> list[str]:
    parts = []
    left = LEFT
    for one, (colour, dash) in zip(series, cycle(_STYLES), strict=False):
        name = _legend_name(one)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(f'<line x1="{left:g}" y1="12" x2="{left + 26:g}" y2="12" stroke="{colour}" stroke-width="2"{dashed}/>')
        parts.append(f'<text x="{left + 32:g}" y="16">{html.escape(name)}</text>')
        left += 46 + 8.0 * len(name)
        if left > WIDTH - 120:
            break
    return parts


def _legend_name(series: Series) -> str:
    return "all ranks" if series.rank is None else f"rank {series.rank}"


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{html.escape(title)}">'
    return "\n".join([head, *parts, "</svg>"])
