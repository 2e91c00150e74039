"""The options of the command line that decide what is on a picture: those of `GradGraph.view`, and the time for drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

_LOOK = (
    click.option(
        "--theme",
        default="light",
        show_default=True,
        type=click.Choice(["light", "dark", "slides"]),
        help="Colours of the picture: for a light page, a dark page, or large for slides.",
    ),
    click.option("--direction", type=click.Choice(["LR", "BT"]), help="From left to right, or from the bottom to the top."),
)
_PART = (
    click.option("--max-nodes", type=click.IntRange(min=1), help="Draw at most so many nodes and groups."),
    click.option(
        "--collapse",
        multiple=True,
        metavar="WHAT",
        help="Draw calls of modules and functions as one: auto, none, how many levels stay open, or names and patterns "
        "such as 'transformer.h.*'; may be repeated.",
    ),
    click.option("--unfold", multiple=True, metavar="NAME", help="Open the group of this call or node; may be repeated."),
    click.option("--fold", multiple=True, metavar="NAME", help="Draw this call as one; may be repeated."),
    click.option("--focus", multiple=True, metavar="NAME", help="Draw only what is around this node; may be repeated."),
    click.option("--radius", type=click.IntRange(min=0), help="How many edges around the focus."),
    click.option("--side", type=click.Choice(["before", "after", "both"]), help="Which side of the focus."),
    click.option("--between", nargs=2, metavar="FIRST LAST", help="Draw only the paths from one node to another."),
    click.option(
        "--time-limit", "time_limit_s", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True),
        help="Give up drawing after that long; 20 unless given.",
    ),
)  # fmt: skip
_LOOK_NAMES = ("theme", "direction")
_PART_NAMES = ("max_nodes", "collapse", "unfold", "fold", "focus", "radius", "side", "between", "time_limit_s")


def picture_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds these options to a command, which gets those that were given as one argument, `choices`."""
    return _with((*_LOOK, *_PART), (*_LOOK_NAMES, *_PART_NAMES), command)


def part_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same of those options only that say what is drawn, and not how it looks."""
    return _with(_PART, _PART_NAMES, command)


def _with(options: Sequence[Callable[..., Any]], names: Sequence[str], command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def with_choices(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in names}
        command(**arguments, choices=_choices(given))

    for option in reversed(options):
        option(with_choices)
    return with_choices


def _choices(given: dict[str, Any]) -> dict[str, Any]:
    """The options as `view` takes them.

    >>> _choices({"theme": "light", "collapse": ("2",), "focus": (), "between": None})
    {'theme': 'light', 'collapse': 2}
    """
    found = {name: value for name, value in given.items() if value not in (None, ())}
    if collapse := found.get("collapse"):
        first = collapse[0]
        found["collapse"] = collapse if len(collapse) > 1 else int(first) if first.isdecimal() else first
    return found
