"""The command `gradviz diagnose`: what is wrong with a target's step, and on which line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradviz.cli.targets import TargetCommand, as_json, print_json, target_options

if TYPE_CHECKING:
    from gradviz.recording.keeping import Values

ERRORS = 1


@click.command("diagnose", cls=TargetCommand)
@target_options
@as_json
@click.option("--check", "checked", is_flag=True, help="Check every derivative, not only those of custom Functions.")
def diagnose_command(target: str, at: tuple[str, ...], device: str, values: Values, as_json: bool, checked: bool) -> None:
    """Tell what is wrong with one step of TARGET: lost, vanishing or wrong gradients, NaN, dead units, slips in the loss.

    With --json: the keys `schema`, `gradviz` and `target` of `gradviz.schema`, and `ok`, `summary` and `findings`.
    """
    from gradviz.target import graph_of_target

    graph = graph_of_target(target, at=at, device=device, values=values)
    diagnosis = graph.diagnose(report=graph.check() if checked else None)
    if as_json:
        from gradviz.schema import header

        print_json(header(target) | diagnosis.to_dict())
    else:
        click.echo(str(diagnosis))
    if not diagnosis.ok:
        click.get_current_context().exit(ERRORS)
