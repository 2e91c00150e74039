"""The command `gradviz explain`: the chain rule written out for one value of a target."""

from __future__ import annotations

import re

import click

from gradviz.cli.targets import TargetCommand, graph_of, target_options

_INDEX = re.compile(r"-?\d+(,-?\d+)*")


def read_index(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    """`0,2` -> (0, 2)"""
    if text is None:
        return None
    plain = text.strip("()[] ").replace(" ", "")
    if not _INDEX.fullmatch(plain):
        raise click.BadParameter(f"{text!r} is no index; write one place per axis, as in 0,2")
    return tuple(int(place) for place in plain.split(","))


def _fits(index: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return len(index) == len(shape) and all(-size <= place < size for place, size in zip(index, shape, strict=True))


@click.command("explain", cls=TargetCommand)
@target_options
@click.option("--leaf", "names", multiple=True, metavar="NAME", help="Explain this value; may be repeated. Else every leaf.")
@click.option(
    "--format", "as_format", default="text", show_default=True, type=click.Choice(["text", "markdown", "latex", "html"])
)
@click.option(
    "--level", default="full", show_default=True, type=click.Choice(["short", "full", "quiz"]),
    help="One line, everything, or blanks to fill in with a key.",
)  # fmt: skip
@click.option(
    "--index", callback=read_index, metavar="PLACE,PLACE",
    help="Write out this element as scalars; without --leaf, of each leaf that has it.",
)  # fmt: skip
@click.option("--top", default=5, show_default=True, help="How many paths are written one by one.")
def explain_command(
    target: str,
    at: tuple[str, ...],
    device: str,
    values: str,
    names: tuple[str, ...],
    as_format: str,
    level: str,
    index: tuple[int, ...] | None,
    top: int,
) -> None:
    """Write out how the gradients of TARGET come about."""
    from gradviz.explain.html import derivation_page
    from gradviz.explain.latex import derivation_latex

    if index is not None and level == "short":
        raise click.UsageError("--index writes an element out: it is for --level full and --level quiz")
    graph = graph_of(target, at=at, device=device, values=values)
    asked = names or tuple(graph.leaves)
    if index is not None and not names:  # the leaves that have such an element
        asked = tuple(name for name, node in graph.leaves.items() if _fits(index, graph.nodes[node]["shape"]))
        if not asked:
            raise click.UsageError(f"no leaf has an element {','.join(map(str, index))}; --leaf names one")
    explained = [graph.explain(name, level=level, index=index, top=top) for name in asked]  # type: ignore[arg-type]
    if as_format == "latex":
        click.echo(derivation_latex(*(explanation.derivation for explanation in explained)), nl=False)
        return
    if as_format == "html":
        title = f"How the gradients of {target} come about"
        click.echo(derivation_page(title, *(one.derivation for one in explained)), nl=False)
        return
    separator = "\n" if level == "short" and as_format == "text" else "\n\n"
    click.echo(separator.join(explanation.as_format(as_format).rstrip() for explanation in explained))
