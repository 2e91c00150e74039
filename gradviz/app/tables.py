"""A check report -> HTML tables that wrap, with every formula in full; only on phones they scroll sideways."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from gradviz.check import Checked, CheckReport
from gradviz.render.theme import MARKS
from gradviz.view.notation import MINUS, with_minus_signs

ROWS = 200
"""Of longer lists, what does not match and the first of the others are shown."""

_STYLE = """<style>
.gradviz-check-scroll {overflow-x: auto}
.gradviz-check {width: 100%; border-collapse: collapse; margin-bottom: 1.5rem; font-size: 0.9rem;
    font-variant-numeric: tabular-nums}
.gradviz-check th, .gradviz-check td {text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0;
    border: 0 solid rgba(128, 128, 128, 0.35); border-bottom-width: 1px; white-space: nowrap}
.gradviz-check th, .gradviz-check small {opacity: 0.75; font-weight: normal}
.gradviz-check td.formula, .gradviz-check small {white-space: normal; overflow-wrap: anywhere}
.gradviz-check td.formula {min-width: 6rem}
.gradviz-check td.verdict {min-width: 11rem}
.gradviz-check tr.mismatch td.verdict {font-weight: bold}
</style>"""


def check_tables(report: CheckReport) -> str:
    """Edges and gradients, and whatever else does not match."""
    told = {
        "edge": report.edges,
        "gradient": report.leaves,
        "value": [entry for entry in report.nodes if entry.verdict != "match"],
        "sum into": [entry for entry in report.sums if entry.verdict != "match"],
    }
    return _STYLE + "".join(_table(what, entries) for what, entries in told.items() if entries)


def _table(what: str, entries: Sequence[Checked]) -> str:
    telling = [entry for entry in entries if entry.verdict != "match"]
    room = max(0, ROWS - len(telling))
    plain = [entry for entry in entries if entry.verdict == "match"]
    chosen = {id(entry) for entry in [*telling, *plain[:room]]}
    heads = "".join(f"<th>{head}</th>" for head in (what, "formula", "autograd", "sympy", "error in ULP", "verdict"))
    rows = "".join(_row(entry) for entry in entries if id(entry) in chosen)
    left_out = len(entries) - len(chosen)
    more = f'<tr><td colspan="6">and {left_out:,} more that match</td></tr>' if left_out else ""
    table = f'<table class="gradviz-check"><thead><tr>{heads}</tr></thead><tbody>{rows}{more}</tbody></table>'
    return f'<div class="gradviz-check-scroll">{table}</div>'


def _row(entry: Checked) -> str:
    part = "" if entry.checked >= entry.total else f"{entry.checked:,} of {entry.total:,} elements"
    verdict = f"{MARKS[entry.verdict]} {entry.verdict}"
    remarks = "; ".join(text for text in (part, entry.reason) if text)
    cells = {
        "name": [entry.name],
        "formula": [with_minus_signs(entry.formula)],
        "autograd": [_number(entry.autograd), f"at {list(entry.index)}" if entry.index else ""],
        "sympy": [_number(entry.reference)],
        "error": ["" if entry.autograd is None else _ulps(entry.error_ulp)],
        "verdict": [verdict, remarks],
    }
    return f'<tr class="{entry.verdict}">{"".join(_cell(name, lines) for name, lines in cells.items())}</tr>'


def _cell(name: str, lines: Iterable[str]) -> str:
    first, *others = lines
    small = "".join(f"<br><small>{html.escape(line)}</small>" for line in others if line)
    return f'<td class="{name}">{html.escape(first)}{small}</td>'


def _number(number: float | None) -> str:
    """All digits, so that two numbers that differ look different."""
    return "" if number is None else f"{number!r}".removesuffix(".0").replace("-", MINUS)


def _ulps(error: float) -> str:
    """
    >>> _ulps(0.0), _ulps(1e-16), _ulps(0.358), _ulps(1.04e15)
    ('0', '0', '0.36', '1e+15')
    """
    return f"{round(error, 2):.2g}"
