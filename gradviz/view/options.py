"""The options of a view, for functions that hand them on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypedDict, get_args

from gradviz.errors import InputError
from gradviz.view.focus import Side, Target
from gradviz.view.model import Direction, ThemeName
from gradviz.view.verdicts import Finding, Report

Part = Literal["call", "value", "cotangent", "heat", "formula", "number", "gain", "contribution", "verdict"]
Collapse = int | str | Sequence[str]
PARTS: frozenset[Part] = frozenset(get_args(Part))
DEFAULT_PARTS: frozenset[Part] = PARTS - {"contribution"}


class PartOptions(TypedDict, total=False):
    """Which part of a graph is drawn, and what in it as one shape; see `view`."""

    collapse: Collapse
    unfold: str | Collection[str]
    fold: str | Collection[str]
    focus: Target | Sequence[Target] | None
    radius: int | None
    side: Side
    between: tuple[int | str, int | str] | None


class ViewOptions(PartOptions, total=False):
    """What `view` takes; see there."""

    report: Report | None
    findings: Iterable[Finding]
    show: Collection[Part] | None
    max_nodes: int | None
    max_edge_labels: int
    direction: Direction | None
    theme: ThemeName


def check_choices(
    show: Collection[str], max_nodes: int | None, max_edge_labels: int, direction: str | None, theme: str
) -> None:
    """Refuses what is not accepted.

    Raises:
        InputError: says what is.
    """
    unknown = sorted(set(show) - PARTS)
    if unknown:
        raise InputError(f"unknown part {unknown[0]!r} in show; accepted: {', '.join(sorted(PARTS))}")
    for name, value, accepted in (
        ("direction", direction or "LR", get_args(Direction)),
        ("theme", theme, get_args(ThemeName)),
    ):
        if value not in accepted:
            raise InputError(f"unknown {name} {value!r}; accepted: {', '.join(accepted)}")
    if max_nodes is not None and max_nodes < 1:
        raise InputError(f"max_nodes is {max_nodes}; accepted: 1 or more")
    if max_edge_labels < 0:
        raise InputError(f"max_edge_labels is {max_edge_labels}; accepted: 0 or more")
