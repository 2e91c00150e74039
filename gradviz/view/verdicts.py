"""A check report or a diagnosis -> what a picture shows of it. Said as protocols, so that pictures need neither."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Protocol, runtime_checkable

from gradviz.view.model import Verdict

SEVERITIES = ("error", "warning", "hint")
"""Worst first."""


class CheckedEdge(Protocol):
    """What a view reads of the entry of one edge."""

    @property
    def edge(self) -> tuple[int, int, int]: ...

    @property
    def verdict(self) -> Verdict: ...

    @property
    def formula(self) -> str: ...

    @property
    def autograd(self) -> float | None: ...

    @property
    def reference(self) -> float | None: ...


class CheckedNode(Protocol):
    """What a view reads of the entry of a whole gradient, a sum of contributions or, with more, a forward value."""

    @property
    def node(self) -> int: ...

    @property
    def verdict(self) -> Verdict: ...


class CheckedValue(CheckedNode, Protocol):
    """What a view reads of the entry of a forward value."""

    @property
    def finding(self) -> str: ...


@runtime_checkable
class Report(Protocol):
    """What a view reads of a `CheckReport`."""

    @property
    def edges(self) -> Iterable[CheckedEdge]: ...

    @property
    def nodes(self) -> Iterable[CheckedValue]: ...

    @property
    def leaves(self) -> Iterable[CheckedNode]: ...

    @property
    def sums(self) -> Iterable[CheckedNode]: ...


@runtime_checkable
class Finding(Protocol):
    """What a view reads of a `Finding`."""

    @property
    def kind(self) -> str: ...

    @property
    def severity(self) -> str: ...

    @property
    def node(self) -> int | None: ...

    @property
    def edge(self) -> tuple[int, int, int] | None: ...

    @property
    def source(self) -> str: ...


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The findings by severity; those of the same one in their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def place_of(finding: Finding) -> int | None:
    """The node where a finding is drawn; None where it is about something that the graph does not hold."""
    return finding.node if finding.edge is None else finding.edge[1]


def troubles(findings: Iterable[Finding]) -> dict[int, list[str]]:
    """Node -> what was found there, one line each, in the order of the findings."""
    return {node: [_line(finding) for finding in found] for node, found in _by_node(findings).items()}


def edge_troubles(findings: Iterable[Finding]) -> dict[tuple[int, int, int], list[str]]:
    """Edge -> what was found about it, in the order of the findings."""
    found: dict[tuple[int, int, int], list[str]] = {}
    for finding in findings:
        if finding.edge is not None:
            found.setdefault(finding.edge, []).append(_line(finding))
    return found


def lines_with_sources(findings: Sequence[Finding], source: str) -> tuple[str, ...]:
    """What was found at one node, one line each, with the user's line: once for those in a row that have the same.

    Args:
        findings: about the node or edges into it.
        source: the user's line that made the node, for findings that name none; "" where it is not known.
    """
    places = [finding.source or source for finding in findings]
    is_last = [*(before != after for before, after in pairwise(places)), True]
    return tuple(
        f"{_line(finding)} at {place}" if place and last else _line(finding)
        for finding, place, last in zip(findings, places, is_last, strict=False)
    )


def worst(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    """The worst of several verdicts; None where there is none.

    >>> worst(["match", None, "unverified"])
    'unverified'
    """
    found = set(verdicts)
    order: tuple[Verdict, ...] = ("mismatch", "unverified", "intended", "match")
    return next((verdict for verdict in order if verdict in found), None)


class Marks:
    """What a check and a diagnosis say about nodes and edges."""

    def __init__(self, report: Report | None, findings: Iterable[Finding], *, with_verdicts: bool) -> None:
        self.edges = {} if report is None else {entry.edge: entry for entry in report.edges}
        self.nodes = {} if report is None or not with_verdicts else node_verdicts(report)
        findings = worst_first(findings)
        self.findings = _by_node(findings)
        self.troubles = troubles(findings)
        self.edge_troubles = edge_troubles(findings)
        self._with_verdicts = with_verdicts

    def is_marked(self, node: int) -> bool:
        """Whether something is to be told of a node itself."""
        return bool(self.troubles.get(node)) or self.nodes.get(node) not in (None, "match")

    def of_edge(self, edge: tuple[int, int, int]) -> Verdict | None:
        """What the check found; None where it did not look, or where no verdicts are to be shown."""
        checked = self.edges.get(edge)
        return checked.verdict if checked is not None and self._with_verdicts else None

    def places_to_keep(self) -> list[int]:
        """The nodes that no other may stand for."""
        tails = [tail for tail, _, _ in self.edge_troubles]
        return [node for node, verdict in self.nodes.items() if verdict == "mismatch"] + list(self.troubles) + tails


def node_verdicts(report: Report) -> dict[int, Verdict]:
    """Node -> verdict: of a leaf's whole gradient, wherever a forward value or a sum differs, intended or not, and of NaN.

    A value that is NaN verifies nothing. Other values that could not be verified have no mark, as those that match.
    """
    verdicts = {entry.node: entry.verdict for entry in report.leaves}
    verdicts |= {entry.node: entry.verdict for entry in report.nodes if _is_undefined(entry)}
    for entry in (*report.nodes, *report.sums):
        if entry.verdict == "mismatch" or (entry.verdict == "intended" and verdicts.get(entry.node) != "mismatch"):
            verdicts[entry.node] = entry.verdict
    return verdicts


def _is_undefined(entry: CheckedValue) -> bool:
    return entry.verdict == "unverified" and entry.finding == "undefined"


def _by_node(findings: Iterable[Finding]) -> dict[int, list[Finding]]:
    """Node -> what was found there, in the order of the findings."""
    found: dict[int, list[Finding]] = {}
    for finding in findings:
        if (node := place_of(finding)) is not None:
            found.setdefault(node, []).append(finding)
    return found


def _line(finding: Finding) -> str:
    return f"{finding.severity}: {finding.kind}"
