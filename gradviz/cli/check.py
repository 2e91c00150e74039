"""The command `gradviz check`: every local partial, value and gradient of a target against sympy."""

from __future__ import annotations

import click

from gradviz.cli.reports import exit_with, report_of
from gradviz.cli.targets import TargetCommand, as_json, graph_of, print_json, target_options


class CheckCommand(TargetCommand):
    """Its targets are what is traced now."""

    of_saved = "Not FILE.gradviz, a trace that was saved: the check takes autograd's nodes, which are not in it."


@click.command("check", cls=CheckCommand)
@target_options
@as_json
@click.option("--samples", default=8, show_default=True, help="Rows of a large Jacobian that are looked at one by one.")
@click.option("--seed", default=0, show_default=True, help="What those rows are drawn from.")
@click.option(
    "--time-limit", "time_limit_s", type=float, metavar="SECONDS", help="What is not checked by then is unverified."
)
@click.option("--strict", is_flag=True, help="Exit with 1 unless everything is verified.")
@click.option("--intended", multiple=True, metavar="NAME", help="A custom Function, op or hook that is meant to differ.")
def check_command(
    target: str,
    at: tuple[str, ...],
    device: str,
    values: str,
    as_json: bool,
    samples: int,
    seed: int,
    time_limit_s: float | None,
    strict: bool,
    intended: tuple[str, ...],
) -> None:
    """Check every local partial, value and gradient of TARGET against sympy.

    The exit code is 1 where something does not match, or a gradient is NaN. What else could not be verified leaves it 0,
    unless --strict is given.
    """
    graph = graph_of(target, at=at, device=device, values=values)
    progress = False if as_json else None
    report = graph.check(samples=samples, seed=seed, time_limit_s=time_limit_s, intended=intended, progress=progress)
    if as_json:
        from gradviz.schema import header

        print_json(header(target) | {"check": report.to_dict()})
    else:
        click.echo(report_of(report))
    exit_with(report, strict=strict)
