"""`Run` -> the report for the terminal: the steps, what moved most, what went wrong."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from gradviz.fitting import distinct
from gradviz.runs.notes import Header, Step
from gradviz.runs.run import Run, gradient_norm
from gradviz.runs.series import Series, by_step, dead_shares, gradient_norms, module_gains, parameter_gradients
from gradviz.view.notation import number_text, shorten

STEP_ROWS, ROWS = 12, 10
NAME_LENGTH = 44
COURSE_LENGTH = 24
LEFT_OUT_FIRST = ("rank", "least", "largest", "passes", "first", "dead units")
"""The columns that a narrow terminal has no room for, in this order."""
LEAST_NAME = 12
BARS = "▁▂▃▄▅▆▇█"


def report_text(run: Run, *, columns: float = math.inf, findings: str | None = None) -> str:
    """The whole report; long tables are cut, and say so.

    Args:
        run: what was recorded.
        columns: how wide a table may become: one that would get wider leaves out columns and shortens names.
        findings: what `run.diagnose()` says, as text; None for as it is.
    """
    parts = [title(run)]
    if run.steps:
        dead = [one for one in dead_shares(run) if max(one.known, default=0)]
        parts.append(_steps_table(run, columns))
        parts.append(_series_table("gradient norm of", parameter_gradients(run), columns))
        parts.append(_series_table("gain of", module_gains(run), columns))
        parts.append(_series_table("share of dead units of", dead, columns))
    parts.append(str(run.diagnose()) if findings is None else findings)
    return "\n\n".join(part for part in parts if part)


def title(run: Run) -> str:
    """What ran, in one line."""
    header: Header = run.headers[0]
    ranks = f"{len(run.headers)} of {header.world_size} ranks" if header.world_size > 1 else ""
    steps = sorted({step.step for step in run.steps})
    recorded = f"{len(steps)} recorded step{'' if len(steps) == 1 else 's'}"
    span = f", {steps[0]} to {steps[-1]}" if len(steps) > 1 else f", {steps[0]}" if steps else ""
    return ", ".join(part for part in (header.model, header.parallel, ranks, f"every {header.every}") if part) + (
        f": {recorded}{span}"
    )


def course(values: Sequence[float | None]) -> str:
    """A course of values as bars, on a logarithmic scale where all are above 0; ✗ where one is not finite.

    >>> course([1.0, 10.0, 100.0, None, float("nan")])
    '▁▅█ ✗'
    """
    shown = [values[round(place)] for place in _spread_over(len(values), COURSE_LENGTH)]
    known = [value for value in values if value is not None and math.isfinite(value)]
    logarithmic = bool(known) and min(known) > 0
    scaled = [math.log(value) if logarithmic else value for value in known]
    low, high = min(scaled, default=0.0), max(scaled, default=0.0)
    bars = []
    for value in shown:
        if value is None:
            bars.append(" ")
        elif not math.isfinite(value):
            bars.append("✗")
        else:
            part = ((math.log(value) if logarithmic else value) - low) / ((high - low) or 1.0)
            bars.append(BARS[min(len(BARS) - 1, int(part * len(BARS)))])
    return "".join(bars)


def most_moved(series: Sequence[Series], count: int) -> list[Series]:
    """Those whose values moved most, in their order."""
    chosen = {id(one) for one in sorted(series, key=lambda one: -one.moved)[:count]}
    return [one for one in series if id(one) in chosen]


def _spread_over(count: int, length: int) -> list[float]:
    if count <= length:
        return [float(place) for place in range(count)]
    return [place * (count - 1) / (length - 1) for place in range(length)]


def _steps_table(run: Run, columns: float) -> str:
    head: tuple[str, ...] = ("step", "rank", "passes", "loss", "gradient norm", "dead units", "")
    made = by_step(run)
    steps = [step for step in run.steps if step.updated or step.origins or step in made[step.step]]  # else made again later
    rows = [head, *map(_step_row, steps)]
    left_out = len(steps) - STEP_ROWS
    if left_out > 1:  # "... 1 more" takes the line of that one
        half = STEP_ROWS // 2
        rows = [*rows[: 1 + half], (f"... {left_out} more", *[""] * 6), *rows[-half:]]
    together = [one for one in gradient_norms(run) if one.rank is None]
    notes = [f"gradient norm of all ranks: {course(one.values)} {_text(_last(one))} at the last step" for one in together]
    return "\n".join([_table(rows, columns), *notes])


def _step_row(step: Step) -> tuple[str, ...]:
    units = sum(note.units for note in step.units)
    dead = f"{sum(note.dead for note in step.units)} of {units}" if units else ""
    remarks = [f"{origin.what} not finite: {origin.op} {origin.module}".rstrip() for origin in step.origins]
    remarks += [] if step.updated else ["no update"]
    norm = _text(gradient_norm([step]))
    loss = ", ".join(_text(note.value) for note in step.losses if note.value is not None)
    return str(step.step), str(step.rank), f"{step.forwards} + {step.backwards}", loss, norm, dead, "; ".join(remarks)


def _series_table(what: str, series: Sequence[Series], columns: float) -> str:
    if not series:
        return ""
    chosen = most_moved(series, ROWS)
    rows = [(what, "rank", "first", "last", "least", "largest", "course")]
    for one in chosen:
        known = one.known
        rows.append(
            (
                shorten(one.name or "the model", NAME_LENGTH),
                "all" if one.rank is None else str(one.rank),
                _text(next((value for value in one.values if value is not None), None)),
                _text(_last(one)),
                _text(min(known, default=None)),
                _text(max(known, default=None)),
                course(one.values),
            )
        )
    more = len(series) - len(chosen)
    return _table(rows, columns, f"... and {more} more that moved less" if more else "")


def _last(series: Series) -> float | None:
    return next((value for value in reversed(series.values) if value is not None), None)


def _text(value: float | None) -> str:
    return "" if value is None else number_text(value)


def _table(rows: Sequence[tuple[str, ...]], columns: float, more: str = "") -> str:
    """Rows below each other, how many more there are, and what each of them is shown without."""
    kept, left_out = [*rows], list[str]()
    for title in LEFT_OUT_FIRST:
        place = kept[0].index(title) if title in kept[0] and _width(kept) > columns else None
        if place is not None and not (title == "rank" and len({row[place] for row in kept[1:]} - {""}) > 1):
            kept = [(*row[:place], *row[place + 1 :]) for row in kept]
            left_out.append(title)
    if (surplus := _width(kept) - columns) > 0:  # then names are shortened
        length = max(int(max(len(row[0]) for row in kept) - surplus), LEAST_NAME)
        names = distinct([row[0] for row in kept], length, shorten)
        kept = [(name, *row[1:]) for name, row in zip(names, kept, strict=True)]
    widths = _widths(kept)
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in kept]
    told = [more] if more else []
    told += textwrap.wrap(f"Not shown in {columns:.0f} columns: {', '.join(left_out)}.", int(columns)) if left_out else []
    return "\n".join([lines[0], "  ".join("─" * width for width in widths).rstrip(), *lines[1:], *told])


def _width(rows: Sequence[tuple[str, ...]]) -> int:
    return sum(_widths(rows)) + 2 * (len(rows[0]) - 1)


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
