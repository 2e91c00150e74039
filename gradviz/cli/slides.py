"""The command `gradviz slides`: the gradients of a target step by step, as a presentation, a document or pictures."""

from __future__ import annotations

from typing import Any

import click

from gradviz.cli.picture_options import part_options
from gradviz.cli.targets import TargetCommand, graph_of, target_options


@click.command("slides", cls=TargetCommand)
@target_options
@click.option(
    "-o", "--output", required=True, metavar="PATH",
    help="A file that ends in .pptx, .pdf, .gif, .webp, .tex or .html; else a folder, for a picture of each frame.",
)  # fmt: skip
@click.option("--format", "as_format", metavar="FORMAT", help="svg for SVG in a folder, which else gets PNG.")
@click.option("--theme", default="slides", show_default=True, type=click.Choice(["light", "dark", "slides", "print"]))
@click.option("--font-size", default=20.0, show_default=True, help="Of the nodes, in pixels of a page of 1920 x 1080.")
@click.option("--highlight", metavar="#RRGGBB", help="Colour of what is looked at.")
@click.option(
    "--one-slide", is_flag=True,
    help="Of a .pptx file: one slide, on which each click shows the next frame. It is printed as the last one.",
)  # fmt: skip
@click.option(
    "--seconds", "seconds_per_frame", default=2.5, show_default=True, help="How long a .gif or .webp file shows each frame."
)
@click.option("--title", metavar="TEXT", help="The line above; else it is made from the output.")
@click.option("--language", default="en", show_default=True, type=click.Choice(["en"]), help="Of the sentences.")
@part_options
def slides_command(
    target: str,
    at: tuple[str, ...],
    device: str,
    values: str,
    output: str,
    as_format: str | None,
    theme: str,
    font_size: float,
    highlight: str | None,
    one_slide: bool,
    seconds_per_frame: float,
    title: str | None,
    language: str,
    choices: dict[str, Any],
) -> None:
    """Show how the gradients of TARGET come about, step by step, on slides."""
    graph_of(target, at=at, device=device, values=values).save_slides(
        output,
        format=as_format,
        title=title,
        language=language,  # type: ignore[arg-type]
        theme=theme,  # type: ignore[arg-type]
        font_size=font_size,
        highlight=highlight,
        one_slide=one_slide,
        seconds_per_frame=seconds_per_frame,
        **choices,
    )
    click.echo(f"wrote {output}", err=True)
