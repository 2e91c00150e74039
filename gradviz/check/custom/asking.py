"""The edges into a custom node as it can be asked: by the value that they carry, and with what its backward() then runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import as_array
from gradviz.check.custom.backward_calls import BackwardCalls, ForwardValues, asked
from gradviz.check.custom.own_formula import ExactFormula
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.check.judge import Comparison
from gradviz.symbolic import Allowance, unit_roundoff

ONE_BY_ONE = 2**16
"""Numbers that are made to 50 digits, and terms that are added up: some 10 to 50 µs each."""
AT_ONCE = 2**22
"""The same as arrays of wide floats: some 0.1 µs and 100 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Group:
    """The edges that carry one and the same value into the function; what they do can only be judged together.

    A group is equal to itself alone: of two tensors nobody can ask whether they are equal and get one answer.
    """

    position: int
    snapshot: Tensor
    edges: list[EdgeUnderCheck]

    @property
    def comparison(self) -> Comparison:
        return self.edges[0].comparison

    @property
    def in_shape(self) -> tuple[int, ...]:
        return self.edges[0].in_shape

    def slots(self, edges: Sequence[EdgeUnderCheck]) -> list[int]:
        """Where its edges stand among these."""
        return [slot for slot, edge in enumerate(edges) if any(edge is own for own in self.edges)]


class Asker:
    """Asks the node, several groups at once, and says how its backward() came to what it answers.

    Attributes:
        name: of the backward(), for a mismatch.
        dtype: the working dtype, the coarsest of forward's values.
        seen_right: the groups whose formula was seen to be right in exact numbers.
        one_by_one: how much of all that is looked at is followed to 50 digits, number by number.
    """

    def __init__(self, head: HeadUnderCheck, dtype: torch.dtype) -> None:
        self._forward = ForwardValues(head)
        self.name = head.backward_name
        self.dtype = dtype
        self.seen_right: set[int] = set()
        self.one_by_one = Allowance(ONE_BY_ONE)
        self._least_slips: dict[int, float] = {}

    def see(self, position: int, slip: float) -> None:
        """Keeps how small a slip, relative to the true numbers, would have been seen in what a group was asked."""
        self._least_slips[position] = min(slip, self._least_slips.get(position, math.inf))

    def least_slip(self, position: int) -> float:
        """The smallest slip of a group that would have been seen; 0 where its formula was seen to be right."""
        return 0.0 if position in self.seen_right else self._least_slips.get(position, math.inf)

    def answers(self, groups: list[Group], place: int, cotangent: Tensor) -> Answers:
        """What the node makes of a cotangent of its output `place`, shaped like that output (of a complex one the parts).

        Raises:
            PartialError: the node can no longer be asked.
        """
        edges = [edge for group in groups for edge in group.edges]
        answers, backward = asked([edge.partials[place] for edge in edges], cotangent, self._forward)
        arrays = [as_array(answer) for answer in answers]
        slots = {group.position: group.slots(edges) for group in groups}
        totals = {position: np.asarray(sum(arrays[slot] for slot in own)) for position, own in slots.items()}
        return Answers(totals=totals, slots=slots, backward=backward)

    def exact(self, answers: Answers, *, at_once: bool) -> ExactFormula:
        """What backward() computes, in exact numbers, or `at_once` in wide floats.

        Raises:
            NoRule: there are no symbolic rules for it.
        """
        return ExactFormula(self._forward, answers.backward, unit_roundoff(self.dtype), at_once=at_once)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the node answered to one cotangent, and how that came about.

    Attributes:
        totals: position of a group -> the sum of the answers along its edges.
        slots: position of a group -> where its edges stand among those asked.
        backward: what ran.
    """

    totals: dict[int, NDArray[np.float64]]
    slots: dict[int, list[int]]
    backward: BackwardCalls
