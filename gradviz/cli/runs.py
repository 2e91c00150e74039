"""The commands `gradviz merge` and `gradviz report`: what `gradviz.watch` recorded of a training run."""

from __future__ import annotations

from pathlib import Path

import click

from gradviz.cli.reports import columns, diagnosis_of
from gradviz.cli.targets import as_json, print_json

ERRORS = 1


@click.command("merge")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="The new file; run.jsonl in DIRECTORY unless given.")  # fmt: skip
def merge_command(directory: Path, output: Path | None) -> None:
    """Put the files that each rank wrote into DIRECTORY together into one, and tell what it holds."""
    from gradviz.runs import load_run, merge
    from gradviz.runs.text import title

    merged = merge(directory, output)
    click.echo(title(load_run(merged)))
    click.echo(f"wrote {merged}", err=True)


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.html",
              help="Write a page with plots, which loads nothing.")  # fmt: skip
@as_json
def report_command(run: Path, output: Path | None, as_json: bool) -> None:
    """Tell how gains, dead units and gradient norms of a training run moved, and what went wrong.

    RUN is the directory that gradviz.watch wrote to, for all ranks in it, or one file. With --json: what `diagnose` says of
    it, with the keys `ok`, `summary` and `findings`. The exit code is 1 where an error was found.
    """
    from gradviz.runs import load_run
    from gradviz.runs.text import report_text

    found = load_run(run)
    diagnosis = found.diagnose()
    if output is not None:
        found.save_report(output)  # refused before anything is printed
    if as_json:
        print_json(diagnosis.to_dict())
    else:
        click.echo(report_text(found, columns=columns(), findings=diagnosis_of(diagnosis)))
    if output is not None:
        click.echo(f"wrote {output}", err=True)
    if not diagnosis.ok:
        click.get_current_context().exit(ERRORS)
