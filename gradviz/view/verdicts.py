"""A check report -> what a picture shows of it. Said as protocols, so that pictures need no check and no sympy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gradviz.view.model import Verdict


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
    """What a view reads of the entry of a forward value, a whole gradient or a sum of contributions."""

    @property
    def node(self) -> int: ...

    @property
    def verdict(self) -> Verdict: ...


class Report(Protocol):
    """What a view reads of a `CheckReport`."""

    @property
    def edges(self) -> Iterable[CheckedEdge]: ...

    @property
    def nodes(self) -> Iterable[CheckedNode]: ...

    @property
    def leaves(self) -> Iterable[CheckedNode]: ...

    @property
    def sums(self) -> Iterable[CheckedNode]: ...


def node_verdicts(report: Report) -> dict[int, Verdict]:
    """Node -> verdict: of a leaf's whole gradient, and a mismatch wherever a forward value or a sum has one."""
    verdicts = {entry.node: entry.verdict for entry in report.leaves}
    for entries in (report.nodes, report.sums):
        verdicts |= {entry.node: entry.verdict for entry in entries if entry.verdict == "mismatch"}
    return verdicts
