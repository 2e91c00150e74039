"""A report as text for the terminal: one table of edges, one each of values and gradients, what to know, a summary line."""

from __future__ import annotations

import math
import os
import textwrap
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from gradviz.check.report import Checked, CheckReport, EdgeCheck, SumCheck, Verdict
from gradviz.fitting import cut_end, distinct, folded
from gradviz.signs import MINUS, with_minus_signs

_MARKS = {"match": "✓ match", "mismatch": "✗ MISMATCH", "unverified": "? unverified", "intended": "≠ intended"}
_LEFT_OUT = {"match": "match", "mismatch": "do not match", "unverified": "are unverified", "intended": "are intended"}
_LISTS = {"edge": "edges", "value": "nodes", "gradient": "leaves", "sum into": "sums"}
_ORDER: tuple[Verdict, ...] = ("mismatch", "unverified", "intended", "match")
_LEAST_FORMULA_WIDTH = 10
_LEAST_NAME_WIDTH = 17
_SHORTEST_NAME = 8
_LEAST_NEEDED = (5, 4, 1)
"""The places of what is left out first where there is no room: checked, the error in ULP, the formula."""
_COLUMNS = 100
_ROWS = 40
_NOTES = 20
_WHOLE = 6
_FEW_DIGITS = 5


def report_text(report: CheckReport, columns: float | None = None, *, elsewhere: str = "") -> str:
    """The whole report; entries without anything to tell are left out of the tables of values and sums.

    Args:
        report: the report.
        columns: how wide it may become: tables are cut, numbers that match rounded, sentences wrapped, and formulas of
            gradients that are cut stand below; infinity for all rows and notes, as wide as they get. None for what the
            environment's COLUMNS says, else 100.
        elsewhere: where all rows are that are left out of a table; "" for the report's own lists.
    """
    columns = _columns() if columns is None else columns
    tables: list[tuple[str, str, Sequence[Checked]]] = [("edge", "formula", report.edges)]
    tables += [("value", "formula", [entry for entry in report.nodes if entry.verdict != "match"])]
    tables += [("gradient", "formula", report.leaves)]
    tables += [("sum into", "", [entry for entry in report.sums if entry.verdict != "match"])]
    parts = [
        _table(what, formula, entries, columns, elsewhere or f"report.{_LISTS[what]}") for what, formula, entries in tables
    ]
    notes = "\n".join(_wrapped(note, columns) for note in _notes(report, math.inf if columns == math.inf else _NOTES))
    summary = _wrapped(" ".join([*_counts(report), *report.remarks]), columns, indent="")
    return "\n\n".join([*(part for part in parts if part), *([notes] if notes else []), summary])


def summary_text(report: CheckReport) -> str:
    """`9 edges: 9 match (symbolic). 7 values match. 3 gradients match. 8 sums match.`, and why what is unverified."""
    parts = _counts(report)
    reasons = Counter(entry.reason for entry in report.unverified)
    if reasons:
        why = "; ".join(f"{reason} ({times})" for reason, times in reasons.most_common(5))
        more = f"; {len(reasons) - 5} more reasons" if len(reasons) > 5 else ""
        parts.append(f"Unverified: {why}{more}.")
    return " ".join([*parts, *report.remarks])


def _columns() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) else _COLUMNS


def _wrapped(sentence: str, columns: float, indent: str = "    ") -> str:
    if columns == math.inf:
        return sentence
    width = max(int(columns), 2 * _LEAST_NAME_WIDTH)
    text = textwrap.fill(sentence, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(part for line in text.splitlines() for part in folded(line, width, indent))


def _counts(report: CheckReport) -> list[str]:
    parts = [f"{_count(len(report.edges), 'edge')}: {_verdicts(report.edges, methods=True)}."]
    for entries, what in ((report.nodes, "value"), (report.leaves, "gradient"), (report.sums, "sum")):
        if not entries:
            continue
        if all(entry.verdict == "match" for entry in entries):
            parts.append(f"{_count(len(entries), what)} {'matches' if len(entries) == 1 else 'match'}.")
        else:
            parts.append(f"{_count(len(entries), what)}: {_verdicts(entries, methods=False)}.")
    parts += [report.not_finite] if report.not_finite else []
    parts += [sampling_text(report.edges)] if any(map(_is_sampled, report.edges)) else []
    if hollow := sum(map(_has_no_digit, report.entries)):
        of = "1 match" if hollow == 1 else f"{hollow} matches"
        parts.append(f"Of {of} cancellation left no digit: the bound on rounding is as large as the number itself.")
    return parts


def _has_no_digit(entry: Checked) -> bool:
    """Whether it matches within a bound as large as the number itself."""
    got, true = entry.autograd, entry.reference
    if entry.verdict != "match" or entry.finding != "cancellation" or got is None or true is None:
        return False
    return abs(got - true) >= max(abs(got), abs(true)) / 2


def sampling_text(edges: Sequence[Checked]) -> str:
    """Of sampled Jacobians: which share of the elements was looked at, and how small a slip the rest could hide."""
    sampled = [edge for edge in edges if _is_sampled(edge)]
    share = sum(edge.checked for edge in sampled) / sum(edge.total for edge in sampled)
    were = "edge was" if len(sampled) == 1 else "edges were"
    told = f"{len(sampled)} {were} sampled: {_percent(share)} of the elements one by one"
    probed = [edge.noticed for edge in sampled if edge.noticed is not None and math.isfinite(edge.noticed)]
    if probed:
        worst = "" if len(probed) == 1 else ", at the worst edge"
        least = f"{max(probed):.3g} times" if max(probed) > 1 else f"{_percent(max(probed))} of"
        told += f"; in the others a slip in one element shows from {least} the usual size on{worst}"
    if len(probed) < len(sampled):
        told += f"; {len(sampled) - len(probed)} without a probe of all the others"
    return f"{told}."


def _is_sampled(edge: Checked) -> bool:
    return edge.verdict == "match" and edge.checked < edge.total


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _verdicts(entries: Sequence[Checked], *, methods: bool) -> str:
    if not entries:
        return "none to check"
    parts = []
    matches = Counter(entry.method for entry in entries if entry.verdict == "match")
    if methods:
        parts += [f"{times} match ({method})" for method, times in sorted(matches.items(), reverse=True)]
    elif matches:
        parts.append(f"{matches.total()} match")
    for verdict in ("mismatch", "unverified", "intended"):
        times = sum(entry.verdict == verdict for entry in entries)
        parts += [f"{times} {verdict.upper() if verdict == 'mismatch' else verdict}"] if times else []
    return ", ".join(parts)


def _table(what: str, formula: str, entries: Sequence[Checked], columns: float, elsewhere: str) -> str:
    if not entries:
        return ""
    shown = list(entries) if columns == math.inf else _most_telling(entries)
    rows, kept = _layout((what, formula), shown, columns)
    not_shown = [title for place, title in enumerate(rows[0][:-1]) if place not in kept and title]
    widths = _widths(rows)
    over = sum(widths[place] for place in kept) + 2 * (len(kept) - 1) - columns
    room = _room(widths[1], _LEAST_FORMULA_WIDTH, over) if 1 in kept else 0
    name = _room(widths[0], _SHORTEST_NAME, over - (widths[1] - room if 1 in kept else 0))
    whole = {row[0]: row[1] for row in rows[1:] if _width(row[1]) > room and what == "gradient"}
    names = distinct([row[0] for row in rows], name, _cut_inside)
    rows = [(short, cut_end(row[1], room), *row[2:]) for short, row in zip(names, rows, strict=True)]
    cells = [tuple(row[place] for place in kept) for row in rows]
    widths = _widths(cells)
    lines = ["  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("─" * width for width in widths))
    if len(shown) < len(entries):
        left_out = Counter(entry.verdict for entry in entries) - Counter(entry.verdict for entry in shown)
        told = ", ".join(f"{left_out[verdict]} more that {_LEFT_OUT[verdict]}" for verdict in _ORDER if left_out[verdict])
        lines.append(_wrapped(f"... {told}; {elsewhere} has all", columns))
    lines += [_wrapped(f"  {name}: {text}", columns) for name, text in list(whole.items())[:_WHOLE]]
    if len(whole) > _WHOLE:
        lines.append(_wrapped(f"  ... {len(whole) - _WHOLE} more formulas are cut; {elsewhere} has all", columns))
    if not_shown:
        lines.append(_wrapped(f"Not shown in {int(columns)} columns: {', '.join(not_shown)}.", columns))
    return "\n".join(lines)


def _layout(titles: tuple[str, str], shown: Sequence[Checked], columns: float) -> tuple[list[tuple[str, ...]], list[int]]:
    """Header and rows that tell as much as fits, and the places of the columns for which there is room."""
    for places, all_digits in ((True, True), (True, False), (False, True), (False, False)):
        header = (*titles, "autograd", "sympy", "error in ULP" if all_digits else "ULP", "checked", "verdict")
        rows = [header, *(_row(entry, places=places, all_digits=all_digits) for entry in shown)]
        widths = _widths(rows)
        if sum(widths[2:]) + 2 * (len(widths) - 1) + _LEAST_NAME_WIDTH + _LEAST_FORMULA_WIDTH <= columns:
            return rows, list(range(len(header)))
    kept = list(range(len(header)))
    for place in _LEAST_NEEDED:
        if _least(_widths(rows), kept, _LEAST_NAME_WIDTH) > columns:
            kept.remove(place)
    if _least(_widths(rows), kept, _SHORTEST_NAME) > columns:
        rows = [(*header[:-1], ""), *((*row[:-1], row[-1][0]) for row in rows[1:])]
    if _least(_widths(rows), kept, _SHORTEST_NAME) > columns:
        rounded = [_row(entry, places=False, all_digits=False, of_mismatches=False) for entry in shown]
        rows = [rows[0], *((*row[:-1], row[-1][0]) for row in rounded)]
    return rows, kept


def _least(widths: Sequence[int], kept: Sequence[int], name: int) -> int:
    """The width below which these columns cannot get, with so many letters of a name."""
    least = {0: name, 1: _LEAST_FORMULA_WIDTH}
    return sum(min(widths[place], least.get(place, widths[place])) for place in kept) + 2 * (len(kept) - 1)


def _room(width: int, least: int, over: float) -> int:
    """How much of a column's width is left to it in a table that is too wide by `over`."""
    return int(max(min(least, width), min(width, width - over)))


def _most_telling(entries: Sequence[Checked]) -> list[Checked]:
    """All entries in their order; of very many the first, those that do not match before all others."""
    if len(entries) <= _ROWS:
        return list(entries)
    return sorted(entries, key=lambda entry: _ORDER.index(entry.verdict))[:_ROWS]


def _widths(rows: Sequence[tuple[str, ...]]) -> list[int]:
    return [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]


def _row(entry: Checked, *, places: bool, all_digits: bool, of_mismatches: bool = True) -> tuple[str, ...]:
    """The cells of one entry; without places where a number lies is left out, and of what was checked the share is told.

    Numbers that match may be told with fewer digits than tell them apart; how far apart they are stands beside them. Those
    that do not match have all, unless `of_mismatches` is false.
    """
    digits = None if all_digits or (of_mismatches and entry.verdict == "mismatch") else _FEW_DIGITS
    place = f" {entry.place}" if places and entry.place else ""
    part = f"{entry.checked} of {entry.total}" if places else _percent(entry.checked / max(entry.total, 1))
    is_chosen = entry.finding == "kink" and entry.autograd is not None and entry.reference is None
    return (
        entry.name,
        with_minus_signs(entry.formula),
        _number(entry.autograd, entry.dtype, digits) + place if entry.autograd is not None else "–",
        "on a kink" if is_chosen else "–" if entry.reference is None else _number(entry.reference, entry.dtype, digits),
        "–" if entry.reference is None else _ulps(entry),
        "–" if not entry.total else "all" if entry.checked >= entry.total else part,
        _MARKS[entry.verdict] if all_digits or entry.verdict != "match" else _MARKS["match"][0],
    )


def _cut_inside(name: str, room: int) -> str:
    """A long name with its ends, which tell most."""
    return name if _width(name) <= room else f"{name[: (room - 1) // 2]}…{name[-(room - 1 - (room - 1) // 2) :]}"


def _notes(report: CheckReport, most: float) -> list[str]:
    """Why entries do not match, then what to know about those that do, each text once."""
    told: dict[str, list[str]] = {}
    for entry in sorted(report.entries, key=lambda entry: _ORDER.index(entry.verdict)):
        if entry.reason:
            told.setdefault(f"{entry.verdict}: {with_minus_signs(entry.reason)}", []).append(_where(entry))
    lines = []
    for text, names in told.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"{', '.join(names[:3])}{more}: {text}")
    return lines if len(lines) <= most else [*lines[:_NOTES], f"... {len(lines) - _NOTES} more notes"]


def _where(entry: Checked) -> str:
    if isinstance(entry, SumCheck):
        return f"sum into {entry.name}"
    places = [entry.source, entry.backward] if isinstance(entry, EdgeCheck) else []
    where = ", ".join(place for place in places if place)
    return f"{entry.name} ({where})" if where else entry.name


def _ulps(entry: Checked) -> str:
    if entry.autograd is None:
        return ""
    if not math.isfinite(entry.error_ulp):
        return "∞" if entry.error_ulp > 0 else "–"
    if entry.error_ulp >= 1000:
        return f"{entry.error_ulp:.1e}"
    return f"{entry.error_ulp:.2f}".rstrip("0").rstrip(".")


def _number(number: float | None, dtype: torch.dtype, digits: int | None = None) -> str:
    """The shortest decimal that tells the number from its neighbours in `dtype`, or one of so many digits."""
    if number is None:
        return ""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "∞" if number > 0 else f"{MINUS}∞"
    if digits is not None:
        text = f"{number:.{digits}g}"
    elif dtype == torch.float64:
        text = f"{number!r}"
    elif dtype == torch.float32 and abs(number) <= torch.finfo(dtype).max:
        text = str(np.float32(number))
    else:  # a true number may lie beyond the range that torch's own kept within
        text = f"{number:.4g}"
    return text.removesuffix(".0").replace("-", MINUS)


def _count(times: int, what: str) -> str:
    return f"{times} {what}" if times == 1 else f"{times} {what}s"


def _width(text: str) -> int:
    return sum(not unicodedata.combining(letter) for letter in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
