"""The options of a view, for functions that hand them on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypedDict

from gradviz.view.focus import Side, Target
from gradviz.view.model import Direction, ThemeName
from gradviz.view.verdicts import Finding, Report

Part = Literal["call", "value", "cotangent", "heat", "formula", "number", "gain", "contribution", "verdict"]
Collapse = int | str | Sequence[str]


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
