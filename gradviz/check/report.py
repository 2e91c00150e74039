"""What a check found: one frozen record per edge, forward value, gradient and sum, and the report that holds them.

`verdict` is "match", "mismatch", "unverified", or "intended" where the caller says that a backward is meant to differ, or a
hook to change a cotangent. What is unverified is listed and counted by itself; it never counts as passed. `str(report)` is
the table for the terminal (`table.py`), `to_dict()` what `--json` prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from gradviz.graph import Edge

Verdict = Literal["match", "mismatch", "unverified", "intended"]
Method = Literal["symbolic", "numeric", ""]
Quantity = Literal["", "VJP", "slope"]
Finding = Literal["wrong", "rounding", "cancellation", "kink", "undefined", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing that was compared with its true value.

    Attributes:
        name: for people: "∂c/∂a" for an edge, the node's name elsewhere.
        verdict: "match", "mismatch", "unverified", or "intended" for an edge into a custom Function, and a sum changed
            by a hook, that `intended` names.
        method: "symbolic" (sympy's derivative at 50 digits), "numeric" (differences, or torch's own formulas in float64),
            "" where nothing could be compared.
        formula: the derivative or value as text, in the names of the graph; "" where no short one is known.
        autograd: torch's number: the only one, or the one with the largest error (of the derivative's elements, if known).
        reference: the true number there, rounded to float64.
        index: where that is: output index, then input index, for an edge; None for a single number.
        quantity: "VJP" where the numbers are of the vector-Jacobian product of a whole cotangent, "slope" where they are
            derivatives along a random direction; "" for elements of the derivative, or of the value, itself.
        error_ulp: how far apart they are, in units in the last place of the tensor's dtype.
        checked: how many elements were compared one by one.
        total: of how many. Elements of a Jacobian's diagonal for an elementwise function, else of the whole Jacobian.
        noticed: of a Jacobian of which only some elements were looked at: the smallest slip in one element of a
            vector-Jacobian product, relative to an element of usual size, that the probe of the whole Jacobian would have
            shown, infinite where that left elements out; None where all elements were looked at, or there was no probe.
        dtype: of torch's number.
        finding: what the numbers show: "wrong" for a mismatch; "rounding" of the dtype; "cancellation", where rounding left
            torch's number far from the true one; "kink", where torch chose a subgradient; "undefined", where one of the
            numbers is NaN or infinite; "" where both are the same, or nothing was compared.
        how: what was done, where not every element was compared with sympy's.
        reason: why not verified, what is wrong, or what to know about a match (a kink); "" otherwise.
    """

    name: str
    verdict: Verdict
    method: Method = ""
    formula: str = ""
    autograd: float | None = None
    reference: float | None = None
    index: tuple[int, ...] | None = None
    quantity: Quantity = ""
    error_ulp: float = 0.0
    checked: int = 0
    total: int = 0
    noticed: float | None = None
    dtype: torch.dtype = torch.float64
    finding: Finding = ""
    how: str = ""
    reason: str = ""

    @property
    def place(self) -> str:
        """Where the numbers are, and of what; "" for the only number of a derivative or a value.

        >>> Checked(name="∂b/∂a", verdict="match", index=(0, 1), quantity="VJP").place
        'at [0, 1] of a VJP'
        """
        at = f"at {list(self.index)}" if self.index else ""
        return " ".join(part for part in (at, f"of a {self.quantity}" if self.quantity else "") if part)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON knows them; a number that is not finite becomes "nan", "inf" or "-inf"."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "method": self.method,
            "formula": self.formula,
            "autograd": _json_number(self.autograd),
            "reference": _json_number(self.reference),
            "index": None if self.index is None else list(self.index),
            "quantity": self.quantity,
            "error_ulp": _json_number(self.error_ulp),
            "checked": self.checked,
            "total": self.total,
            "noticed": _json_number(self.noticed),
            "dtype": str(self.dtype).removeprefix("torch."),
            "finding": self.finding,
            "how": self.how,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeCheck(Checked):
    """The local partial of one edge, and the contribution that it made in the backward pass.

    Attributes:
        edge: (tail, head, argument position).
        source: the user's line that made the head, "file.py:12", or "".
        backward: of a custom Function its backward with its line, "Swish.backward at file.py:12"; else "".
        hook: the hook, "clip at train.py:12", that changes the contribution of a derivative that is right; else "".
    """

    edge: Edge
    source: str = ""
    backward: str = ""
    hook: str = ""

    def to_dict(self) -> dict[str, Any]:
        # `super()` without arguments does not work in a slotted dataclass, which is made anew by its decorator.
        return {"edge": list(self.edge), "source": self.source, "backward": self.backward, **Checked.to_dict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCheck(Checked):
    """The forward value of one op node, at the exact inputs that it had.

    Attributes:
        node: its number in the graph.
    """

    node: int

    def to_dict(self) -> dict[str, Any]:
        return {"node": self.node, **Checked.to_dict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafCheck(Checked):
    """The whole gradient of one leaf, from the expression of the output in the leaves.

    Attributes:
        node: its number in the graph.
    """

    node: int

    def to_dict(self) -> dict[str, Any]:
        return {"node": self.node, **Checked.to_dict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SumCheck(Checked):
    """Whether the contributions into one node add up to its cotangent.

    Attributes:
        node: its number in the graph.
        contributions: how many there are.
    """

    node: int
    contributions: int

    def to_dict(self) -> dict[str, Any]:
        return {"node": self.node, "contributions": self.contributions, **Checked.to_dict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """Everything that one check found.

    Attributes:
        edges: one entry per differentiable edge that was asked for, in forward order.
        nodes: one per op node: its forward value.
        leaves: one per leaf, for graphs of up to `MAX_LEAF_ELEMENTS` scalar leaves; else empty.
        sums: one per node that contributions flow into.
        seed: what random rows and cotangents were drawn from.
        remarks: what the check did not look at as a whole, a sentence each.
        nan_gradients: the leaves whose gradient holds NaN, where the whole graph was checked.
        not_finite: which gradients hold NaN or infinity, in a sentence; "" where none does.
    """

    edges: tuple[EdgeCheck, ...]
    nodes: tuple[NodeCheck, ...] = ()
    leaves: tuple[LeafCheck, ...] = ()
    sums: tuple[SumCheck, ...] = ()
    seed: int = 0
    remarks: tuple[str, ...] = ()
    nan_gradients: tuple[str, ...] = ()
    not_finite: str = ""

    @property
    def ok(self) -> bool:
        """No mismatch anywhere, and no gradient that holds NaN.

        What else is unverified does not count for or against; see `verified`.
        """
        return not self.mismatches and not self.nan_gradients

    @property
    def verified(self) -> bool:
        """Everything that was asked for was compared, and matches, but for what is intended to differ.

        False where nothing was compared at all.
        """
        judged = [entry.verdict for entry in self.entries if entry.verdict != "intended"]
        return bool(judged) and all(verdict == "match" for verdict in judged) and not self.nan_gradients

    @property
    def entries(self) -> tuple[Checked, ...]:
        """All entries: edges, forward values, gradients, sums."""
        return (*self.edges, *self.nodes, *self.leaves, *self.sums)

    @property
    def mismatches(self) -> tuple[Checked, ...]:
        return tuple(entry for entry in self.entries if entry.verdict == "mismatch")

    @property
    def unverified(self) -> tuple[Checked, ...]:
        return tuple(entry for entry in self.entries if entry.verdict == "unverified")

    def edge(self, edge: Edge) -> EdgeCheck:
        """The entry of one edge.

        Raises:
            KeyError: it was not checked.
        """
        for entry in self.edges:
            if entry.edge == edge:
                return entry
        raise KeyError(edge)

    @property
    def summary(self) -> str:
        """How much is what, in one line."""
        from gradviz.check.table import summary_text

        return summary_text(self)

    def __str__(self) -> str:
        from gradviz.check.table import report_text

        return report_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON knows it.

        Keys: `ok`, `verified`, `summary`, `seed`, `remarks`, `nan_gradients`, and the lists `edges`, `nodes`, `leaves`,
        `sums`, whose items have the attributes of `EdgeCheck`, `NodeCheck`, `LeafCheck` and `SumCheck`: `name`, `verdict`,
        `method`, `formula`, `autograd`, `reference`, `index`, `quantity`, `error_ulp`, `checked`, `total`, `noticed`,
        `dtype`, `finding`, `how`, `reason`; edges also `edge` ([tail, head, key]), `source` and `backward`, the others
        `node`; sums also `contributions`.
        """
        return {
            "ok": self.ok,
            "verified": self.verified,
            "summary": self.summary,
            "seed": self.seed,
            "remarks": list(self.remarks),
            "nan_gradients": list(self.nan_gradients),
            "edges": _dicts(self.edges),
            "nodes": _dicts(self.nodes),
            "leaves": _dicts(self.leaves),
            "sums": _dicts(self.sums),
        }


def _dicts(entries: Iterable[Checked]) -> list[dict[str, Any]]:
    return [entry.to_dict() for entry in entries]


def _json_number(number: float | None) -> float | str | None:
    return number if number is None or math.isfinite(number) else str(number)
