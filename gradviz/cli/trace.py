"""The command `gradviz trace`: every value, every local partial and every gradient of a target, as tables and pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradviz.cli.picture_options import picture_options
from gradviz.cli.reports import columns, diagnosis_of, exit_with, report_of, rows
from gradviz.cli.targets import SAVED, TargetCommand, as_json, graph_of, print_json, target_options
from gradviz.errors import InputError

if TYPE_CHECKING:
    from gradviz.graph import GradGraph


PAGE = ".html"


@click.command("trace", cls=TargetCommand)
@target_options
@as_json
@click.option(
    "-o", "--output", multiple=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write a picture, in the format of the ending: .svg, .png, .pdf, .dot or .gv; a page that plays the steps: .html; "
    "or the trace itself, for gradviz compare and the explorer: .gradviz; may be repeated.",
)  # fmt: skip
@click.option("--all", "whole", is_flag=True, help="Print all rows of long tables, also in a terminal.")
@picture_options
@click.option("--dpi", type=click.FloatRange(min=10, max=1200), help="Pixels per inch of a PNG.")
@click.option("--check", "checked", is_flag=True, help="Check against sympy; verdicts go onto the picture.")
@click.option("--diagnose", "diagnosed", is_flag=True, help="Print what `gradviz diagnose` finds; it goes onto the picture.")
def trace_command(
    target: str,
    at: tuple[str, ...],
    device: str,
    values: str,
    as_json: bool,
    output: tuple[Path, ...],
    dpi: float | None,
    whole: bool,
    checked: bool,
    diagnosed: bool,
    choices: dict[str, Any],
) -> None:
    """Show every value, every local partial and every gradient of TARGET.

    The exit code is 1 where --check finds a mismatch or a gradient that is NaN, and where --diagnose finds an error.
    """
    asked = [name for name in choices if name != "theme"] + (["dpi"] if dpi else [])
    if asked and all(path.suffix == SAVED for path in output):
        raise InputError(f"{asked[0]}= is about a picture, and none is asked for; add -o and a file, as -o graph.svg")
    for path in output:
        _check_format(path)
    graph = graph_of(target, at=at, device=device, values=values)
    report = graph.check() if checked else None
    diagnosis = graph.diagnose(report=report) if diagnosed else None
    found = {name: one for name, one in (("report", report), ("findings", diagnosis)) if one is not None}
    for path in output:
        draw(graph, found, path, dpi, choices)
    if as_json:
        from gradviz.schema import graph_document

        told = {name: one.to_dict() for name, one in (("check", report), ("diagnosis", diagnosis)) if one is not None}
        print_json(graph_document(graph, target) | told)
    else:
        from gradviz.cli.listing import listing

        click.echo(listing(graph, columns(), math.inf if whole else rows()))
        if report is not None:
            click.echo(f"\n{report_of(report)}")
        if diagnosis is not None:
            click.echo(f"\n{diagnosis_of(diagnosis)}")
    exit_with(report, diagnosis)


def draw(graph: GradGraph, found: dict[str, Any], path: Path, dpi: float | None, choices: dict[str, Any]) -> None:
    """Writes a picture, page or trace, and says so; what was found goes onto pictures, not onto a page that plays steps."""
    from gradviz.render import DPI

    if path.suffix == SAVED:
        graph.save(path)
    else:
        graph.render(path, dpi=dpi or DPI, **choices | ({} if path.suffix.lower() == PAGE else found))
    click.echo(f"wrote {path}", err=True)


def _check_format(path: Path) -> None:
    """Refuses an ending before anything runs: a step may take minutes."""
    from gradviz.render.picture import FORMATS, format_name

    if path.suffix != SAVED:
        format_name(path, None, (*FORMATS, PAGE.removeprefix("."), SAVED.removeprefix(".")))
