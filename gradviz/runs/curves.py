"""Series -> SVG: curves over the steps. They differ in colour, dash and name; what is not finite is a ✗ at the top."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

from gradviz.render.theme import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from gradviz.runs.series import Series
from gradviz.runs.svg import LETTER, WIDE, svg, text, text_width
from gradviz.view.notation import number_text, shorten

HEIGHT = 240.0
LEFT, RIGHT, BOTTOM = 62.0, 14.0, 40.0
LINE, DASH = 18.0, 32.0
MOST_LINES = 6
_STYLES = ((BLUE, ""), (VERMILION, "7 3"), (GREEN, "2 3"), (PURPLE, "9 3 2 3"), (ORANGE, "4 2"))
Scale = Callable[[float], float]


def curves(series: Sequence[Series], title: str, *, ranks: bool, width: float = WIDE) -> str:
    """Curves over the steps; "" where no number is finite. The scale is logarithmic where that is needed and possible.

    Args:
        series: all over the same steps.
        title: for who cannot see the plot.
        ranks: whether there are several ranks to be told apart.
        width: in pixels.
    """
    known = [value for one in series for value in one.known]
    if not known:
        return ""
    names = [one.name if one.rank is None or not ranks else f"{one.name} · rank {one.rank}" for one in series]
    legend, top = _legend(names, width) if len(series) > 1 else ([], LINE)
    bottom = top + HEIGHT - BOTTOM
    steps = series[0].steps
    is_logarithmic = 0 < 10 * min(known) <= max(known)
    marks = _decades(min(known), max(known)) if is_logarithmic else round_numbers(min(known), max(known), MOST_LINES)
    scaled: Scale = math.log10 if is_logarithmic else float
    low, high = scaled(marks[0]), scaled(marks[-1])

    def across(step: float) -> float:
        return LEFT + (width - LEFT - RIGHT) * ((step - steps[0]) / ((steps[-1] - steps[0]) or 1))

    def up(value: float) -> float:
        return bottom - (bottom - top) * (scaled(value) - low) / ((high - low) or 1.0)

    parts = [*legend, *_grid(marks, up, width), *_step_ticks(steps, across, bottom, width)]
    for one, name, (colour, dash) in zip(series, names, cycle(_STYLES), strict=False):
        parts += _curve(one, name, colour, dash, across, up, top)
    return svg(width, top + HEIGHT, title, parts)


def round_numbers(low: float, high: float, most: int) -> list[float]:
    """Round numbers at even distances that hold `low` to `high` between them, about `most` of them.

    >>> round_numbers(-0.3, 1.7, 6), round_numbers(5.0, 5.0, 6)
    ([-0.5, 0.0, 0.5, 1.0, 1.5, 2.0], [5.0, 6.0])
    """
    step = _round_step((high - low) or abs(low) or 1.0, most)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(place * step, 12) for place in range(first, max(last, first + 1) + 1)]


def _round_step(span: float, most: int) -> float:
    rough = span / max(1, most - 1)
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    apart = math.ceil((last - first) / MOST_LINES)
    return [10.0**exponent for exponent in range(first, last + apart, apart)]


def _grid(marks: Sequence[float], up: Scale, width: float) -> Iterator[str]:
    for mark in marks:
        y = up(mark)
        yield f'<line x1="{LEFT:g}" y1="{y:.1f}" x2="{width - RIGHT:g}" y2="{y:.1f}" class="grid"/>'
        yield text(LEFT - 8, y + 4, number_text(mark), "end")


def _step_ticks(steps: Sequence[int], across: Scale, bottom: float, width: float) -> Iterator[str]:
    """Round step numbers, as many as have room beside each other."""
    room = text_width(str(steps[-1])) + 2 * LETTER
    most = max(2, min(6, int((width - LEFT - RIGHT) / room)))
    apart = max(1.0, _round_step((steps[-1] - steps[0]) or 1, most))
    first, last = math.ceil(steps[0] / apart), math.floor(steps[-1] / apart)
    for place in range(first, last + 1):
        label = f"{place * apart:.0f}"
        x = min(across(place * apart), width - text_width(label) / 2)
        yield text(x, bottom + 17, label, "middle")
    yield text((LEFT + width - RIGHT) / 2, bottom + 34, "step", "middle", "faint")


def _curve(series: Series, name: str, colour: str, dash: str, across: Scale, up: Scale, top: float) -> list[str]:
    """Lines between neighbours that are known, a dot for each, a ✗ at the top for what is not finite."""
    parts = []
    run: list[str] = []
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    for step, value in (*zip(series.steps, series.values, strict=True), (0, None)):
        tip = "" if value is None else f"<title>{html.escape(name)}, step {step}: {number_text(value)}</title>"
        if value is not None and math.isfinite(value):
            run.append(f"{across(step):.1f},{up(value):.1f}")
            parts.append(f'<circle cx="{across(step):.1f}" cy="{up(value):.1f}" r="3" fill="{colour}">{tip}</circle>')
            continue
        if len(run) > 1:
            parts.append(f'<polyline points="{" ".join(run)}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>')
        run = []
        if value is not None:
            mark = f'x="{across(step):.1f}" y="{top + 4:g}" text-anchor="middle" fill="{colour}"'
            parts.append(f'<text {mark} class="mark">✗{tip}</text>')
    return parts


def _legend(names: Sequence[str], width: float) -> tuple[list[str], float]:
    """A dash and a name for each curve, in as many lines as they need, and where the plot may begin."""
    parts = []
    left, top = 0.0, LINE - 6
    for name, (colour, dash) in zip(names, cycle(_STYLES), strict=False):
        shown = shorten(name, int((width - DASH) / LETTER))
        if left and left + DASH + text_width(shown) > width:
            left, top = 0.0, top + LINE
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        line = f'x1="{left:g}" y1="{top - 4:g}" x2="{left + DASH - 6:g}" y2="{top - 4:g}"'
        parts += [f'<line {line} stroke="{colour}" stroke-width="2"{dashed}/>', text(left + DASH, top, shown)]
        left += DASH + text_width(shown) + 2 * LETTER
    return parts, top + LINE
