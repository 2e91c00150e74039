"""One finding as a frozen record, and all findings of a graph as a list that reads as a report, worst first."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from gradviz.graph import Edge, GradGraph
from gradviz.view.landmarks import Landmark
from gradviz.view.notation import number_text
from gradviz.view.verdicts import SEVERITIES

Severity = Literal["error", "warning", "hint"]
Numbers = dict[str, float | int | str]
WIDTH = 110
"""Of the lines of a report, unless told otherwise, without their indent."""
LISTED = 4
"""How many names a message lists."""
NOT_CHECKED = "not-checked"
"""The kind of what could not be looked at, where it is told as a finding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something in a traced step that is wrong, or is worth a look.

    Attributes:
        kind: what it is, "dead-relu"; the docstring of `gradviz.diagnose` lists all.
        severity: "error" for what cannot be meant, "warning" for what hardly is, "hint" for what may be.
        message: what happens, in a sentence.
        hint: what to do about it.
        node: where; None where it is an edge, or a leaf that the graph does not hold.
        edge: where; None where it is a node.
        source: the user's line, "file.py:12", or "".
        module: the module in which it happens, by its dotted path, or "".
        numbers: what proves it, by name.
        landmark: what the node is, apart from its number, by which a view of another graph of the same code finds it.
        step, rank: of a training run, which step and which process; None where it is not about one.
    """

    kind: str
    severity: Severity
    message: str
    hint: str
    node: int | None = None
    edge: Edge | None = None
    source: str = ""
    module: str = ""
    numbers: Numbers = field(default_factory=dict)
    step: int | None = None
    rank: int | None = None
    landmark: Landmark | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON knows them; a number that is not finite becomes "nan", "inf" or "-inf"."""
        of_a_run = {name: number for name, number in (("step", self.step), ("rank", self.rank)) if number is not None}
        return of_a_run | {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
            "node": self.node,
            "edge": None if self.edge is None else list(self.edge),
            "source": self.source,
            "module": self.module,
            "numbers": {name: _json_number(number) for name, number in self.numbers.items()},
        }

    @property
    def where(self) -> str:
        """Line, module, step and rank, as far as there are any: " at train.py:12 in layer1"."""
        places = (("at", self.source), ("in", self.module), ("at step", self.step), ("on rank", self.rank))
        return "".join(f" {preposition} {place}" for preposition, place in places if place not in ("", None))

    @property
    def numbers_text(self) -> str:
        """The numbers in one line."""
        return ", ".join(f"{name} {_text(number)}" for name, number in self.numbers.items())

    def __str__(self) -> str:
        return self.text()

    def text(self, also: Sequence[Finding] = (), *, width: int = WIDTH) -> str:
        """The finding in lines of at most `width` letters and an indent of 4, with where else it was found (`also`)."""
        lines = [f"{self.severity} {self.kind}{self.where}: {self.message}"]
        lines += [f"numbers: {self.numbers_text}"] if self.numbers else []
        lines += [f"also: {_places(also)}"] if also else []
        lines += [f"do: {self.hint}"]
        return "\n  ".join("\n    ".join(textwrap.wrap(line, width, break_long_words=False)) for line in lines)


class Diagnosis(list[Finding]):
    """The findings of one graph, worst first; `str()` of it is the report, which tells once what many calls of a line show.

    Attributes:
        unread: what was looked for in vain, as it takes elements of which the graph kept only statistics.
        coarse: what is told, but from statistics, without the elements that would tell more.
        not_kept: of how much that is, and why.
        unchecked: what else could not be looked at, and why, in a sentence: derivatives that nobody could ask for, values
            that nobody knows, or what shows only in more steps of a training run than were recorded; "" where nothing is.
    """

    def __init__(
        self,
        findings: list[Finding],
        *,
        unread: Iterable[str] = (),
        coarse: Iterable[str] = (),
        not_kept: str = "",
        unchecked: str = "",
    ) -> None:
        super().__init__(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
        self.unread = tuple(unread)
        self.coarse = tuple(coarse)
        self.not_kept = not_kept
        self.unchecked = unchecked

    @property
    def ok(self) -> bool:
        """Nothing at the level of an error."""
        return all(finding.severity != "error" for finding in self)

    @property
    def summary(self) -> str:
        """How much was found, in one line."""
        counts = [(sum(finding.severity == level for finding in self), level) for level in SEVERITIES]
        parts = [f"{count} {level}{'' if count == 1 else 's'}" for count, level in counts if count]
        found = f"{', '.join(parts)}." if parts else "Nothing found."
        unread, unchecked = (self.unread, self.unchecked) if not self._tells_limits else ((), "")
        limits = {"Not looked for in all of the graph": unread, "Told from statistics alone": self.coarse}
        told = "; ".join(f"{limit}: {', '.join(what)}" for limit, what in limits.items() if what)
        return " ".join(part for part in (found, told and f"{told} ({self.not_kept}).", unchecked) if part)

    @property
    def _tells_limits(self) -> bool:
        """Whether what could not be looked at is among the findings."""
        return any(finding.kind == NOT_CHECKED for finding in self)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON: what `summary` tells, and the `findings`, which have the fields of `Finding`."""
        found = [finding.to_dict() for finding in self]
        return {
            "ok": self.ok,
            "summary": self.summary,
            "unread": list(self.unread),
            "coarse": list(self.coarse),
            "unchecked": self.unchecked,
            "findings": found,
        }

    def __str__(self) -> str:
        return self.text()

    def text(self, *, width: int = WIDTH) -> str:
        """The report in lines of at most `width` letters and an indent of 4."""
        summary = "\n".join(textwrap.wrap(self.summary, width, break_long_words=False, break_on_hyphens=False))
        return "\n\n".join([*(first.text(others, width=width) for first, *others in self._by_line()), summary])

    def _by_line(self) -> list[list[Finding]]:
        """The findings, those together that are of one line and one remedy, in modules that differ by numbers only."""
        alike: dict[object, list[Finding]] = {}
        for place, one in enumerate(self):
            what = (one.severity, one.kind, one.source, one.hint, re.sub(r"\d+", "0", one.module), one.step, one.rank)
            alike.setdefault(what if one.source else place, []).append(one)
        return list(alike.values())


def found(
    graph: GradGraph,
    kind: str,
    severity: Severity,
    message: str,
    hint: str,
    *,
    node: int | None = None,
    edge: Edge | None = None,
    source: str = "",
    numbers: Numbers | None = None,
) -> Finding:
    """A finding with the user's line looked up: of the node, of the edge's head, or of what first uses a leaf."""
    place = node if edge is None else edge[1]
    if not source and place is not None:
        uses = [use.edge[1] for use in graph.uses_of(place)]
        source = next((line for other in (place, *uses) if (line := graph.nodes[other]["source"])), "")
    return Finding(
        kind=kind,
        severity=severity,
        message=message,
        hint=hint,
        node=node,
        edge=edge,
        source=source,
        module="" if place is None else graph.nodes[place]["module"],
        numbers=numbers or {},
    )


def extremes(value: Tensor, least: str, greatest: str) -> Numbers:
    """The least and the greatest element by these names, of those that are not NaN, which proves nothing.

    >>> import torch
    >>> extremes(torch.tensor([2.0, torch.nan, 1.0]), "least", "most"), extremes(torch.tensor([torch.nan]), "least", "most")
    ({'least': 1.0, 'most': 2.0}, {})
    """
    known = value[~value.isnan()]
    return {least: float(known.min()), greatest: float(known.max())} if known.numel() else {}


def _places(findings: Sequence[Finding]) -> str:
    """The modules of findings of one line; how many calls they are where no module tells them apart."""
    modules = list(dict.fromkeys(finding.module for finding in findings if finding.module))
    calls = f"in {len(findings)} other call{'' if len(findings) == 1 else 's'} of this line"
    return f"in {listed(modules)}" if len(modules) == len(findings) else calls


def _text(number: float | int | str) -> str:
    return number if isinstance(number, str) else number_text(number)


def _json_number(number: float | int | str) -> float | int | str:
    return str(number) if isinstance(number, float) and not math.isfinite(number) else number


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e", "f"])
    ('a, b', 'a, b, c, d and 2 more')
    """
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
