"""A check report -> HTML tables that wrap, with every formula in full; on phones a row is a block of lines.

They scroll in a box as high as the canvas at most, below heads that stay.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from gradviz.check import Checked, CheckReport
from gradviz.render.theme import MARKS
from gradviz.signs import with_minus_signs
from gradviz.view.notation import digits_text

HEADS = {"formula": "formula", "autograd": "autograd", "sympy": "sympy", "error": "error in ULP", "verdict": "verdict"}
ROWS = 200
"""Of longer lists, what does not match and the first of the others are shown."""

_STYLE = """<style>
.gradviz-checks {max-height: var(--gradviz-canvas, 40rem); overflow: auto; padding: 0 0.75rem;
    border: 1px solid rgba(128, 128, 128, 0.35); border-radius: 0.5rem}
.gradviz-check {width: 100%; border-collapse: separate; border-spacing: 0; margin-bottom: 1.5rem; font-size: 0.9rem;
    font-variant-numeric: tabular-nums}
.gradviz-check th, .gradviz-check td {text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0;
    border: 0 solid rgba(128, 128, 128, 0.35); border-bottom-width: 1px; white-space: nowrap}
.gradviz-check th {position: sticky; top: 0; background: var(--gradviz-ground, inherit); font-weight: normal;
    color: color-mix(in srgb, currentColor 75%, transparent)}
.gradviz-check small {opacity: 0.75}
.gradviz-check td.formula, .gradviz-check small {white-space: normal; overflow-wrap: anywhere}
.gradviz-check td.formula {min-width: 6rem}
.gradviz-check td.verdict {min-width: 11rem}
.gradviz-check tr.mismatch td.verdict {font-weight: bold}
.gradviz-check-note {opacity: 0.75; font-size: 0.85rem; margin: 0 0 1rem}
@media (max-width: 40rem) {
    .gradviz-check thead {display: none}
    .gradviz-check tr {display: block; padding: 0.4rem 0; border-bottom: 1px solid rgba(128, 128, 128, 0.35)}
    .gradviz-check td, .gradviz-check td.formula, .gradviz-check td.verdict {display: block; border: none; min-width: 0;
        padding: 0.05rem 0 0.05rem 6rem; white-space: normal; overflow-wrap: anywhere}
    .gradviz-check td::before {content: attr(data-head); float: left; margin-left: -6rem; opacity: 0.75; font-weight: normal}
    .gradviz-check td.name {font-weight: bold}
    .gradviz-check td.empty {display: none}
}
</style>"""
_NOTE = """<p class="gradviz-check-note">error in ULP: how far autograd’s number is from the true one, in units in the last
place, the steps from one number of its dtype to the next; 0.5 is as near as it can come, more is what rounding
on the way allows in a match.</p>"""


def check_tables(report: CheckReport) -> str:
    """Edges and gradients, and whatever else does not match."""
    told = {
        "edge": report.edges,
        "gradient": report.leaves,
        "value": [entry for entry in report.nodes if entry.verdict != "match"],
        "sum into": [entry for entry in report.sums if entry.verdict != "match"],
    }
    tables = "".join(_table(what, entries) for what, entries in told.items() if entries)
    box = f'<div class="gradviz-checks" role="region" aria-label="Check" tabindex="0">{tables}</div>'
    return _STYLE + (_NOTE + box if tables else "")


def _table(what: str, entries: Sequence[Checked]) -> str:
    telling = [entry for entry in entries if entry.verdict != "match"]
    room = max(0, ROWS - len(telling))
    plain = [entry for entry in entries if entry.verdict == "match"]
    chosen = {id(entry) for entry in [*telling, *plain[:room]]}
    heads = "".join(f"<th>{head}</th>" for head in (what, *HEADS.values()))
    rows = "".join(_row(what, entry) for entry in entries if id(entry) in chosen)
    left_out = len(entries) - len(chosen)
    more = f'<tr><td colspan="6">and {left_out:,} more that match</td></tr>' if left_out else ""
    return f'<table class="gradviz-check"><thead><tr>{heads}</tr></thead><tbody>{rows}{more}</tbody></table>'


def _row(what: str, entry: Checked) -> str:
    part = "" if entry.checked >= entry.total else f"{entry.checked:,} of {entry.total:,} elements"
    verdict = f"{MARKS[entry.verdict]} {entry.verdict}"
    remarks = "; ".join(text for text in (part, entry.reason) if text)
    heads = {"name": what} | HEADS
    cells = {
        "name": [entry.name],
        "formula": [with_minus_signs(entry.formula)],
        "autograd": [_number(entry.autograd), entry.place],
        "sympy": [_number(entry.reference)],
        "error": ["" if entry.autograd is None else _ulps(entry.error_ulp)],
        "verdict": [verdict, remarks],
    }
    return f'<tr class="{entry.verdict}">{"".join(_cell(name, heads[name], lines) for name, lines in cells.items())}</tr>'


def _cell(name: str, head: str, lines: Iterable[str]) -> str:
    first, *others = lines
    small = "".join(f"<br><small>{html.escape(line)}</small>" for line in others if line)
    empty = "" if first or small else " empty"
    return f'<td class="{name}{empty}" data-head="{head}">{html.escape(first)}{small}</td>'


def _number(number: float | None) -> str:
    return "" if number is None else digits_text(number)


def _ulps(error: float) -> str:
    """
    >>> _ulps(0.0), _ulps(1e-16), _ulps(0.358), _ulps(1.04e15)
    ('0', '0', '0.36', '1e+15')
    """
    return f"{round(error, 2):.2g}"
