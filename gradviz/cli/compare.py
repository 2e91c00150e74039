"""The command `gradviz compare`: where the numbers of two traces of the same code part."""

from __future__ import annotations

import textwrap

import click

from gradviz.cli.reports import columns
from gradviz.cli.targets import TargetCommand, as_json, graph_of, print_json, target_options
from gradviz.errors import InputError

DIFFERENT = 1


@click.command("compare", cls=TargetCommand)
@target_options
@click.argument("other")
@as_json
@click.option("--rtol", type=float, metavar="SHARE",
              help="The largest difference over the largest magnitude that counts as none; a thousand roundings of the "
              "coarser dtype, 0.1 at most, unless given.")  # fmt: skip
def compare_command(
    target: str, other: str, at: tuple[str, ...], device: str, values: str, as_json: bool, rtol: float | None
) -> None:
    """Tell the first value, and going back the first cotangent, by which two traces of the same code differ.

    --at, --device and --values are for what is traced now, not for what was saved. With --json: one object, which
    gradviz/schema.py describes.

    The exit code is 0 where nothing differs, 1 where something does, or the structure.
    """
    from gradviz.target import is_math

    if at and not any(map(is_math, (target, other))):
        raise InputError(f"--at {at[0]}: values go with math text; neither {target} nor {other} is that")
    first, second = (graph_of(one, at=at if is_math(one) else (), device=device, values=values) for one in (target, other))
    comparison = first.compare(second, rtol=rtol)
    if as_json:
        from gradviz.schema import header

        print_json(header(target) | {"other": other, "comparison": comparison.to_dict()})
    else:
        click.echo("\n".join(part for line in str(comparison).splitlines() for part in _fitted(line)))
    if not comparison.same:
        click.get_current_context().exit(DIFFERENT)


def _fitted(line: str) -> list[str]:
    """A line as wide as the terminal, with what does not fit below it."""
    most = columns()
    return [line] if len(line) <= most else textwrap.wrap(line, int(most), subsequent_indent="  ", break_long_words=False)
