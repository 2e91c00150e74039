"""What the commands that check print of it, and how they end."""

from __future__ import annotations

import math
import shutil
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from gradviz.check import CheckReport
    from gradviz.diagnose import Diagnosis

WRONG = 1
LEAST_ROWS = 20
LEAST_COLUMNS, INDENT = 40, 4


def report_of(report: CheckReport) -> str:
    """The report as text."""
    from gradviz.check.table import report_text

    return report_text(report, columns(), elsewhere="--json")


def diagnosis_of(diagnosis: Diagnosis) -> str:
    """The findings as text, no wider than the terminal."""
    from gradviz.diagnose.finding import WIDTH

    return diagnosis.text(width=int(min(WIDTH, max(columns(), LEAST_COLUMNS) - INDENT)))


def columns() -> float:
    """How wide a table may become: as the terminal; what goes into a file or a pipe is never cut, in rows neither."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf


def rows() -> float:
    """How many rows a table may have: about half a terminal's; what goes into a file or a pipe has all."""
    return max(LEAST_ROWS, shutil.get_terminal_size().lines // 2) if sys.stdout.isatty() else math.inf


def exit_with(report: CheckReport | None, diagnosis: Diagnosis | None = None, *, strict: bool = False) -> None:
    """Ends the command with 1 where something is wrong.

    Args:
        report: a check that may have found a mismatch or a gradient that is NaN, or, if strict, left something unverified.
        diagnosis: findings among which may be an error.
    """
    is_fine = report is None or (report.verified if strict else report.ok)
    if not is_fine or (diagnosis is not None and not diagnosis.ok):
        click.get_current_context().exit(WRONG)
