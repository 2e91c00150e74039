"""A report as text for the terminal: one table of edges, one each of values and gradients, what to know, a summary line."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from gradviz.check.report import Checked, CheckReport, EdgeCheck, SumCheck

_MARKS = {"match": "✓ match", "mismatch": "✗ MISMATCH", "unverified": "? unverified", "intended": "≠ intended"}
_FORMULA_WIDTH = 40
_LEAST_FORMULA_WIDTH = 20
_ROWS = 200


def report_text(report: CheckReport, columns: float | None = None) -> str:
    """The whole report; entries without anything to tell are left out of the tables of values and sums.

    Args:
        report: the report.
        columns: how wide a table may become before its formulas are cut, infinity for never. None: they are cut where it
            suits most places.
    """
    parts = [_table("edge", "formula", report.edges, columns)]
    values = [entry for entry in report.nodes if entry.verdict != "match"]
    parts += [_table("value", "formula", values, columns)] if values else []
    parts += [_table("gradient", "formula", [*report.leaves], columns)] if report.leaves else []
    sums = [entry for entry in report.sums if entry.verdict != "match"]
    parts += [_table("sum into", "", sums, columns)] if sums else []
    notes = _notes(report)
    return "\n\n".join([*(part for part in parts if part), *([notes] if notes else []), summary_text(report)])


def summary_text(report: CheckReport) -> str:
    """`9 edges: 9 match (symbolic). 7 values match. 3 gradients match. 8 sums match.`, and why what is unverified."""
    parts = [f"{_count(len(report.edges), 'edge')}: {_verdicts(report.edges, methods=True)}."]
    for entries, what in ((report.nodes, "value"), (report.leaves, "gradient"), (report.sums, "sum")):
        if not entries:
            continue
        if all(entry.verdict == "match" for entry in entries):
            parts.append(f"{_count(len(entries), what)} {'matches' if len(entries) == 1 else 'match'}.")
        else:
            parts.append(f"{_count(len(entries), what)}: {_verdicts(entries, methods=False)}.")
    parts += [sampling_text(report.edges)] if any(map(_is_sampled, report.edges)) else []
    reasons = Counter(entry.reason for entry in report.unverified)
    if reasons:
        why = "; ".join(f"{reason} ({times})" for reason, times in reasons.most_common(5))
        more = f"; {len(reasons) - 5} more reasons" if len(reasons) > 5 else ""
        parts.append(f"Unverified: {why}{more}.")
    return " ".join([*parts, *report.remarks])


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
        told += f"; {len(sampled) - len(probed)} without a probe of the others"
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


def _table(what: str, formula: str, entries: Sequence[Checked], columns: float | None) -> str:
    if not entries:
        return ""
    shown = _most_telling(entries)
    rows: list[tuple[str, ...]] = [(what, formula, "autograd", "sympy", "error in ULP", "checked", "verdict")]
    rows += [_row(entry) for entry in shown]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = _FORMULA_WIDTH
    if columns is not None:
        others = sum(widths) - widths[1] + 2 * (len(widths) - 1)
        room = int(max(_LEAST_FORMULA_WIDTH, min(columns - others, widths[1])))
    rows = [(row[0], _cut(row[1], room), *row[2:]) for row in rows]
    widths[1] = max(_width(row[1]) for row in rows)
    lines = ["  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("─" * width for width in widths))
    if len(shown) < len(entries):
        lines.append(f"... and {len(entries) - len(shown)} more that match")
    return "\n".join(lines)


def _most_telling(entries: Sequence[Checked]) -> list[Checked]:
    """All entries, or, of very many, those that do not match and the first of the others, in their order."""
    if len(entries) <= _ROWS:
        return list(entries)
    kept = {id(entry) for entry in entries if entry.verdict != "match"}
    for entry in entries:
        if len(kept) >= _ROWS:
            break
        kept.add(id(entry))
    return [entry for entry in entries if id(entry) in kept]


def _row(entry: Checked) -> tuple[str, ...]:
    place = ("" if not entry.index else f" at {list(entry.index)}") + (f" of a {entry.quantity}" if entry.quantity else "")
    is_chosen = entry.finding == "kink" and entry.autograd is not None and entry.reference is None
    return (
        entry.name,
        entry.formula,
        _number(entry.autograd, entry.dtype) + place if entry.autograd is not None else "–",
        "on a kink" if is_chosen else "–" if entry.reference is None else _number(entry.reference, entry.dtype),
        "–" if entry.reference is None else _ulps(entry),
        "–" if not entry.total else "all" if entry.checked >= entry.total else f"{entry.checked} of {entry.total}",
        _MARKS[entry.verdict],
    )


def _cut(formula: str, room: int) -> str:
    return formula if _width(formula) <= room else f"{formula[: room - 1]}…"


def _notes(report: CheckReport) -> str:
    """Why entries do not match, and what to know about those that do, each text once."""
    told: dict[str, list[str]] = {}
    for entry in report.entries:
        if entry.reason:
            told.setdefault(f"{entry.verdict}: {entry.reason}", []).append(_where(entry))
    lines = []
    for text, names in told.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        lines.append(f"{', '.join(names[:3])}{more}: {text}")
    return "\n".join(lines)


def _where(entry: Checked) -> str:
    if isinstance(entry, SumCheck):
        return f"sum into {entry.name}"
    places = [entry.source, entry.backward] if isinstance(entry, EdgeCheck) else []
    where = ", ".join(place for place in places if place)
    return f"{entry.name} ({where})" if where else entry.name


def _ulps(entry: Checked) -> str:
    if entry.autograd is None:
        return ""
    if entry.error_ulp >= 1000:
        return f"{entry.error_ulp:.1e}"
    return f"{entry.error_ulp:.2f}".rstrip("0").rstrip(".")


def _number(number: float | None, dtype: torch.dtype) -> str:
    """The shortest decimal that tells the number from its neighbours in `dtype`."""
    if number is None:
        return ""
    if not math.isfinite(number):
        return str(number)
    if dtype == torch.float64:
        return f"{number!r}".removesuffix(".0")
    if dtype == torch.float32:
        return str(np.float32(number)).removesuffix(".0")
    return f"{number:.4g}"


def _count(times: int, what: str) -> str:
    return f"{times} {what}" if times == 1 else f"{times} {what}s"


def _width(text: str) -> int:
    return sum(not unicodedata.combining(letter) for letter in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
