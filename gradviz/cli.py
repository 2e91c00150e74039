"""The command line: `gradviz trace TARGET` and `gradviz check TARGET`.

Exit codes: 0 fine, 1 a mismatch or an error found, 2 bad input. What is asked for goes to standard output,
all else to standard error. `--json` prints one object: of `trace` as `gradviz.schema` describes it; of `check` the keys
`schema`, `gradviz` and `target` of that schema and `check`, which is `CheckReport.to_dict()`. `trace --check --json` has
the keys of both. The commands `gradviz diagnose`, `explain`, `merge`, `ops`, `report` and `slides` stand in files of
their own.

What a command needs is imported when it runs, so that `--help` does not wait for sympy and Graphviz.
"""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradviz.app_command import app_command
from gradviz.diagnose_command import diagnose_command
from gradviz.errors import GradvizError
from gradviz.explain_command import explain_command
from gradviz.ops_command import ops_command
from gradviz.picture_options import picture_options
from gradviz.run_command import merge_command, report_command
from gradviz.slides_command import slides_command
from gradviz.target_command import TargetCommand, as_json, print_json, target_options

if TYPE_CHECKING:
    from gradviz.check import CheckReport
    from gradviz.graph import GradGraph
    from gradviz.keeping import Values

MISMATCH = 1
INTERRUPTED = 130


class Refusal(click.ClickException):
    """A `GradvizError` as a sentence on standard error, without a traceback; exit code 2."""

    exit_code = 2


class Commands(click.Group):
    """The group that turns what gradviz refuses into a sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GradvizError as refusal:
            raise Refusal(str(refusal)) from refusal
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradviz-explorer", prog_name="gradviz")
def main() -> None:
    """See, explain and check the gradients of PyTorch code.

    TARGET is math text such as "x*y + sin(pi*x)", with a value for each variable given by --at, or file.py:name, a function
    without arguments that returns a scalar loss tensor or a triple (model, inputs, loss). "gradviz trace --help" tells more.

    Exit codes: 0 fine, 1 a mismatch or an error found, 2 bad input.
    """


main.add_command(app_command)
main.add_command(diagnose_command)
main.add_command(explain_command)
main.add_command(merge_command)
main.add_command(ops_command)
main.add_command(report_command)
main.add_command(slides_command)


@main.command("trace", cls=TargetCommand)
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
    values: Values,
    as_json: bool,
    output: tuple[Path, ...],
    dpi: float | None,
    checked: bool,
    diagnosed: bool,
    choices: dict[str, Any],
) -> None:
    """Show every value, every local partial and every gradient of TARGET."""
    from gradviz.target import graph_of_target

    graph = graph_of_target(target, at=at, device=device, values=values)
    report = graph.check() if checked else None
    if diagnosed:
        choices["findings"] = graph.diagnose(report=report)
    for path in output:
        draw(graph, report, path, dpi, choices)
    if as_json:
        from gradviz.schema import graph_document

        print_json(graph_document(graph, target) | ({} if report is None else {"check": report.to_dict()}))
    else:
        from gradviz.listing import listing

        click.echo(listing(graph, columns()))
        if report is not None:
            click.echo(f"\n{report_of(report)}")
    exit_with(report)


@main.command("check", cls=TargetCommand)
@target_options
@as_json
@click.option("--samples", default=8, show_default=True, help="Rows of a large Jacobian that are looked at one by one.")
@click.option("--seed", default=0, show_default=True, help="What those rows are drawn from.")
@click.option("--time-limit", type=float, metavar="SECONDS", help="What is not checked by then is unverified.")
def check_command(
    target: str,
    at: tuple[str, ...],
    device: str,
    values: Values,
    as_json: bool,
    samples: int,
    seed: int,
    time_limit: float | None,
) -> None:
    """Check every local partial, value and gradient of TARGET against sympy."""
    from gradviz.target import graph_of_target

    graph = graph_of_target(target, at=at, device=device, values=values)
    report = graph.check(samples=samples, seed=seed, time_limit_s=time_limit, progress=False if as_json else None)
    if as_json:
        from gradviz.schema import header

        print_json(header(target) | {"check": report.to_dict()})
    else:
        click.echo(report_of(report))
    exit_with(report)


def draw(graph: GradGraph, report: CheckReport | None, path: Path, dpi: float | None, choices: dict[str, Any]) -> None:
    """Writes one picture and says so."""
    from gradviz.render import DPI

    graph.render(path, dpi=dpi or DPI, **choices | ({} if report is None else {"report": report}))
    click.echo(f"wrote {path}", err=True)


def report_of(report: CheckReport) -> str:
    """The report as text."""
    from gradviz.check.table import report_text

    return report_text(report, columns())


def columns() -> float:
    """How wide a table may become: as the terminal; what goes into a file or a pipe is never cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else math.inf


def exit_with(report: CheckReport | None) -> None:
    """Ends the command with 1 where a check found a mismatch."""
    if report is not None and not report.ok:
        click.get_current_context().exit(MISMATCH)
