"""The command `gradviz diagnose`: what is wrong with a target's step, and on which line."""

from __future__ import annotations

import click

from gradviz.cli.reports import diagnosis_of
from gradviz.cli.targets import TargetCommand, as_json, graph_of, print_json, target_options

ERRORS = 1


@click.command("diagnose", cls=TargetCommand)
@target_options
@as_json
@click.option("--check", "checked", is_flag=True, help="Check every derivative, not only those of custom Functions.")
def diagnose_command(target: str, at: tuple[str, ...], device: str, values: str, as_json: bool, checked: bool) -> None:
    """Tell what is wrong with one step of TARGET: lost, vanishing or wrong gradients, NaN, dead units, slips in the loss.

    The exit code is 1 where a finding is an error; warnings and hints leave it 0. With --json: one object, which
    gradviz/schema.py describes; its key `ok` is false where the exit code is 1.
    """
    graph = graph_of(target, at=at, device=device, values=values)
    diagnosis = graph.diagnose(report=graph.check() if checked else None)
    if as_json:
        from gradviz.schema import header

        print_json(header(target) | diagnosis.to_dict())
    else:
        click.echo(diagnosis_of(diagnosis))
    if not diagnosis.ok:
        click.get_current_context().exit(ERRORS)
