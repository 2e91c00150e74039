"""The command `gradviz ops`: which aten overloads are verified how."""

from __future__ import annotations

import json

import click


@click.command("ops")
@click.argument("name", required=False, default="")
@click.option("--method", metavar="METHOD", help='Only those with this method: symbolic, numeric, "no gradient", ...')
@click.option("--all", "with_all", is_flag=True, help="Also those that carry no gradient.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the page docs/ops.md: every overload.")
def ops_command(name: str, method: str | None, with_all: bool, as_json: bool, as_markdown: bool) -> None:
    """List the aten overloads whose names contain NAME, each with the method by which the check verifies it."""
    import torch

    from gradviz.ops import CARRYING, MEANINGS, overloads, overloads_page, overloads_text

    if method is not None and method not in MEANINGS:
        raise click.BadParameter(f"{method!r} is none; methods are: {', '.join(MEANINGS)}", param_hint="--method")
    if as_markdown and (name or method or with_all or as_json):
        raise click.UsageError("--markdown prints the whole page: it takes neither a name nor another option")
    everything = overloads()
    if as_markdown:
        click.echo(overloads_page(everything), nl=False)
        return
    methods = [method] if method is not None else MEANINGS if with_all else CARRYING
    listed = [one for one in everything if name in one.name and one.method in methods]
    if as_json:
        counts = {known: sum(one.method == known for one in everything) for known in MEANINGS}
        document = {"torch": torch.__version__, "counts": counts, "overloads": [one.to_dict() for one in listed]}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(overloads_text(listed, everything))
