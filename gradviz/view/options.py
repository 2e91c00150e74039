"""The options of a view, for functions that hand them on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, TypedDict, TypeGuard, get_args

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
    findings: Iterable[Finding] | None
    show: Part | Collection[Part] | None
    max_nodes: int | None
    max_edge_labels: int
    direction: Direction | None
    theme: ThemeName


def check_choices(collapse: Any, max_nodes: Any, max_edge_labels: Any, direction: Any, theme: Any) -> None:
    """Refuses what is not accepted.

    Raises:
        InputError: says what is.
    """
    for name, value, accepted in (
        ("direction", direction or "LR", get_args(Direction)),
        ("theme", theme, get_args(ThemeName)),
    ):
        if value not in accepted:
            raise InputError(f"unknown {name} {value!r}; accepted: {', '.join(accepted)}")
    if not (_is_count(collapse, least=1) or isinstance(collapse, str) or _are_names(collapse)):
        raise InputError(f"collapse is {collapse!r}; accepted: 1 or more levels, a name, a pattern, 'auto' or 'none'")
    if not (max_nodes is None or _is_count(max_nodes, least=1)):
        raise InputError(f"max_nodes is {max_nodes!r}; accepted: 1 or more")
    if not _is_count(max_edge_labels, least=0):
        raise InputError(f"max_edge_labels is {max_edge_labels!r}; accepted: 0 or more")


def parts_of(show: Any) -> frozenset[Part]:
    """What is written on nodes and edges; None for what is written where nothing is said.

    Raises:
        InputError: `show` names what there is not.
    """
    if show is None:
        return DEFAULT_PARTS
    parts = [show] if isinstance(show, str) else show
    if not _are_names(parts):
        raise InputError(f"show is {show!r}; accepted: {', '.join(sorted(PARTS))}, or several of these")
    if unknown := sorted(set(parts) - PARTS):
        raise InputError(f"unknown part {unknown[0]!r} in show; accepted: {', '.join(sorted(PARTS))}")
    return PARTS.intersection(parts)


def names_of(option: str, given: Any) -> Collection[str]:
    """One name, or several; None for none.

    Raises:
        InputError: they are no names.
    """
    names = [given] if isinstance(given, str) else () if given is None else given
    if not _are_names(names):
        raise InputError(f"{option} is {given!r}; accepted: a name or a pattern, or several")
    return names


def check_report(report: Any) -> None:
    """Refuses what is no report of a check.

    Raises:
        InputError: says what is accepted.
    """
    if not (report is None or isinstance(report, Report)):
        raise InputError(f"report is a {type(report).__name__}; accepted: what check() returns")


def findings_of(given: Any) -> list[Finding]:
    """The findings as a list; None for none.

    Raises:
        InputError: they are no findings.
    """
    accepted = "accepted: what diagnose() returns, or several of its findings"
    if not (given is None or isinstance(given, Iterable)):
        raise InputError(f"findings is a {type(given).__name__}; {accepted}")
    found = list(given or ())
    for one in found:
        if not isinstance(one, Finding):
            raise InputError(f"findings holds a {type(one).__name__}; {accepted}")
    return found


def _are_names(given: Any) -> TypeGuard[Collection[str]]:
    return isinstance(given, Collection) and all(isinstance(name, str) for name in given)


def _is_count(given: Any, *, least: int) -> TypeGuard[int]:
    return isinstance(given, int) and not isinstance(given, bool) and given >= least
