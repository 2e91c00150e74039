"""What two graphs have in common and where they part, as values and in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

What = Literal["value", "cotangent", "structure"]
NAMED = 5
"""How many leaves or calls a sentence names, and how many places with other calls are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where two graphs differ.

    Attributes:
        what: "value", "cotangent" or "structure".
        node: in the first graph; None where only the second has one.
        name: of the node.
        source: the user's line.
        relative: the largest difference over the largest magnitude; infinite where only one is finite.
        message: what differs, in a sentence.
    """

    what: What
    node: int | None
    name: str
    source: str
    relative: float
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The attributes as `gradviz.schema` describes them."""
        relative = self.relative if math.isfinite(self.relative) else "inf"
        return {name: getattr(self, name) for name in self.__slots__} | {"relative": relative}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two graphs have in common and where they part.

    Attributes:
        differences: those above the tolerance: values in forward order, then cotangents in the engine's order.
        compared: how many tensors were compared.
        skipped: how many were not, because one side does not hold them.
        summed: how many of those compared were compared by statistics, because one side kept only these: equal statistics
            are no proof of equal elements.
        rtol: the tolerance.
    """

    differences: tuple[Difference, ...]
    compared: int
    skipped: int
    rtol: float
    summed: int = 0

    @property
    def same(self) -> bool:
        """Whether nothing differs of what both sides hold."""
        return not self.differences

    @property
    def first_value(self) -> Difference | None:
        """The first value, in forward order, that differs."""
        return next((found for found in self.differences if found.what == "value"), None)

    @property
    def first_cotangent(self) -> Difference | None:
        """The first cotangent, in the backward pass's order, that differs."""
        return next((found for found in self.differences if found.what == "cotangent"), None)

    @property
    def structure(self) -> Difference | None:
        """Where the graphs are first not of the same calls, or these read other values; None where no place is."""
        return next((found for found in self.differences if found.what == "structure"), None)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as `gradviz.schema` describes it; for JSON."""
        firsts = {name: getattr(self, name) for name in ("first_value", "first_cotangent", "structure")}
        return {
            "same": self.same,
            **{name: None if found is None else found.to_dict() for name, found in firsts.items()},
            "differences": [found.to_dict() for found in self.differences],
            **{name: getattr(self, name) for name in ("compared", "skipped", "summed", "rtol")},
        }

    def __str__(self) -> str:
        skipped = f", {self.skipped} not compared: one side does not hold them" if self.skipped else ""
        summed = f", {self.summed} of them by their statistics only" if self.summed else ""
        head = f"{self.compared} tensors compared to a relative {self.rtol:.3g}{summed}{skipped}"
        if not self.differences:
            return f"{head}: no difference"
        structural = [found.message for found in self.differences if found.what == "structure"]
        shown = [found.message for found in (self.first_value, self.first_cotangent) if found is not None]
        shown += structural[:NAMED]
        shown += [f"and {len(structural) - NAMED} more such places"] if len(structural) > NAMED else []
        count = sum(found.what != "structure" for found in self.differences)
        told = f": {count or 'none'} differ{'s' * (count == 1)}" if self.compared or count else ""
        return "\n".join([f"{head}{told}", *shown])
