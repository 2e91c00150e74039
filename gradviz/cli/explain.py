"""The command `gradviz explain`: the chain rule written out for one value of a target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradviz.cli.targets import TargetCommand, graph_of, target_options
from gradviz.errors import InputError

if TYPE_CHECKING:
    from gradviz.explain import Explanation

FORMATS = {".txt": "text", ".md": "markdown", ".tex": "latex", ".html": "html"}
"""The format of a file, by its ending."""
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
    "--format", "as_format", type=click.Choice([*FORMATS.values()]), help="text, unless the ending of a file says another."
)
@click.option(
    "-o", "--output", multiple=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help=f"Write it in the format of the ending instead of printing it: {', '.join(FORMATS)}; may be repeated.",
)  # fmt: skip
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
    as_format: str | None,
    output: tuple[Path, ...],
    level: str,
    index: tuple[int, ...] | None,
    top: int,
) -> None:
    """Write out how the gradients of TARGET come about."""
    if index is not None and level == "short":
        raise click.UsageError("--index writes an element out: it is for --level full and --level quiz")
    formats = [_format_of(path, as_format) for path in output]
    graph = graph_of(target, at=at, device=device, values=values)
    asked = names or tuple(graph.leaves)
    if index is not None and not names:  # the leaves that have such an element
        asked = tuple(name for name, node in graph.leaves.items() if _fits(index, graph.nodes[node]["shape"]))
        if not asked:
            raise click.UsageError(f"no leaf has an element {','.join(map(str, index))}; --leaf names one")
    explained = [graph.explain(name, level=level, index=index, top=top) for name in asked]  # type: ignore[arg-type]
    title = f"How the gradients of {target} come about"
    for path, its_format in zip(output, formats, strict=True):
        _write(path, _written(explained, its_format, level, title))
        click.echo(f"wrote {path}", err=True)
    if not output:
        click.echo(_written(explained, as_format or "text", level, title), nl=False)


def _format_of(path: Path, asked: str | None) -> str:
    """The format of a file: the one that was asked for, else by its ending.

    Raises:
        InputError: its ending says another one, or none where none was asked for.
    """
    by_ending = FORMATS.get(path.suffix.lower())
    if asked is not None and by_ending not in (None, asked):
        raise InputError(f"{str(path)!r} ends as {by_ending} does, and --format is {asked}; leave one of them out")
    if asked is None and by_ending is None:
        accepted = ", ".join(ending.removeprefix(".") for ending in FORMATS)
        raise InputError(f"unknown format {path.suffix!r} of {str(path)!r}; accepted: {accepted}")
    return asked or by_ending or "text"


def _written(explained: Sequence[Explanation], as_format: str, level: str, title: str) -> str:
    """All explanations as one text, which ends with a line."""
    from gradviz.explain.html import derivation_page
    from gradviz.explain.latex import derivation_latex

    derivations = [explanation.derivation for explanation in explained]
    if as_format == "latex":
        return derivation_latex(*derivations)
    if as_format == "html":
        return derivation_page(title, *derivations)
    separator = "\n" if level == "short" and as_format == "text" else "\n\n"
    return separator.join(explanation.as_format(as_format).rstrip() for explanation in explained) + "\n"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
