"""The command `gradviz trace`: every value, every local partial and every gradient of a target, as tables and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradviz.cli.picture_options import picture_options
from gradviz.cli.reports import columns, exit_with, report_of
from gradviz.cli.targets import TargetCommand, as_json, graph_of, print_json, target_options

if TYPE_CHECKING:
    from gradviz.check import CheckReport
    from gradviz.graph import GradGraph


@click.command("trace", cls=TargetCommand)
@target_options
@as_json
@click.option(
    "-o", "--output", multiple=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Write a picture, in the format of the ending: .svg, .png, .pdf, .dot or .gv; may be repeated.",
)  # fmt: skip
@picture_options
@click.option("--dpi", type=click.FloatRange(min=10, max=1200), help="Pixels per inch of a PNG.")
@click.option("--check", "checked", is_flag=True, help="Check against sympy; verdicts go onto the picture.")
@click.option("--diagnose", "diagnosed", is_flag=True, help="Write what `gradviz diagnose` finds onto the picture.")
def trace_command(
    target: str,
    at: tuple[str, ...],
    device: str,
    values: str,
    as_json: bool,
    output: tuple[Path, ...],
    dpi: float | None,
    checked: bool,
    diagnosed: bool,
    choices: dict[str, Any],
) -> None:
    """Show every value, every local partial and every gradient of TARGET."""
    graph = graph_of(target, at=at, device=device, values=values)
    report = graph.check() if checked else None
    if diagnosed:
        choices["findings"] = graph.diagnose(report=report)
    for path in output:
        draw(graph, report, path, dpi, choices)
    if as_json:
        from gradviz.schema import graph_document

        print_json(graph_document(graph, target) | ({} if report is None else {"check": report.to_dict()}))
    else:
        from gradviz.cli.listing import listing

        click.echo(listing(graph, columns()))
        if report is not None:
            click.echo(f"\n{report_of(report)}")
    exit_with(report)


def draw(graph: GradGraph, report: CheckReport | None, path: Path, dpi: float | None, choices: dict[str, Any]) -> None:
    """Writes one picture and says so."""
    from gradviz.render import DPI

    graph.render(path, dpi=dpi or DPI, **choices | ({} if report is None else {"report": report}))
    click.echo(f"wrote {path}", err=True)
