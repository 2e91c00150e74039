"""The command `gradviz compare`: where the numbers of two traces of the same code part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradviz.cli.targets import SAVED, TargetCommand, as_json, graph_of, print_json, target_options
from gradviz.errors import InputError

if TYPE_CHECKING:
    from gradviz.graph import GradGraph

DIFFERENT = 1


@click.command("compare", cls=TargetCommand)
@target_options
@click.argument("other")
@as_json
@click.option("--rtol", type=float, metavar="SHARE",
              help="The largest difference over the largest magnitude that counts as none; a thousand roundings of the "
              "coarser dtype unless given.")  # fmt: skip
def compare_command(
    target: str, other: str, at: tuple[str, ...], device: str, values: str, as_json: bool, rtol: float | None
) -> None:
    """Tell the first value, and going back the first cotangent, by which two traces of the same code differ.

    TARGET and OTHER are a trace that was saved (FILE.gradviz, which `gradviz trace -o` and `graph.save` write), or a target
    as below; --at, --device and --values are for the latter. With --json: one object, which gradviz/schema.py describes.

    The exit code is 0 where nothing differs, 1 where something does, or the structure.
    """
    if at and not any(map(_takes_values, (target, other))):
        raise InputError(f"--at {at[0]}: values go with math text; neither {target} nor {other} is that")
    first, second = (_graph(one, at=at, device=device, values=values) for one in (target, other))
    comparison = first.compare(second, rtol=rtol)
    if as_json:
        from gradviz.schema import header

        print_json(header(target) | {"other": other, "comparison": comparison.to_dict()})
    else:
        click.echo(str(comparison))
    if not comparison.same:
        click.get_current_context().exit(DIFFERENT)


def _graph(target: str, *, at: tuple[str, ...], device: str, values: str) -> GradGraph:
    """A saved trace, or one that is made now; values are for math text alone."""
    return graph_of(target, at=at if _takes_values(target) else (), device=device, values=values)


def _takes_values(target: str) -> bool:
    """Whether it is math text."""
    from gradviz.target import names_function

    return not target.endswith(SAVED) and not names_function(target)
