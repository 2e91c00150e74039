"""Every element of the VJPs of a function of several recorded calls, against torch's own formulas for these in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import Index, as_array, moduli
from gradviz.check.custom.asking import Answers, Asker, Group
from gradviz.check.custom.noise import RangeEnds
from gradviz.check.custom.own_formula import (
    HIDDEN_SLIP,
    Formula,
    in_float64,
    larger_numbers,
    may_hide,
    settled,
    smallest_slip,
)
from gradviz.check.custom.replay import Replay
from gradviz.check.custom.ties import allowed_beside, wrong_together
from gradviz.check.heads import HeadUnderCheck
from gradviz.check.judge import CANCELLED
from gradviz.check.local import DENSE_UP_TO, Plan
from gradviz.check.parts import parts_of, parts_shape
from gradviz.check.wording import hidden_slip_text, range_end_text
from gradviz.symbolic import NoRule, unit_roundoff

_RANDOM_COTANGENTS = 2
_BLURRED = 2.0**-6
"""A bound of this part of the largest element is more than rounding: some trials were on the other side of a kink."""
_TRIALS, _TRIALS_PER_ROW = 6, 2
_FEW_TRIALS = 8
"""So many times as much as few trials show is granted."""
_ROWS_UP_TO = 64


def compare_all(
    head: HeadUnderCheck,
    asker: Asker,
    groups: list[Group],
    outputs: dict[int, Tensor],
    plan: Plan,
    kinked: list[tuple[int, Index]],
) -> None:
    """Every element of the VJPs of the real and of random cotangents, and of the whole Jacobian where it is small.

    Of a large one the `kinked` rows: what ties can only be judged row by row. A group that a sampled row has shown to be
    wrong is asked for one VJP of each output only, for how wrong it is as a whole: nothing can make it right again.
    """
    wrong = [group for group in groups if group.comparison.is_wrong]
    snapshots = {group.position: group.snapshot for group in groups}
    seed = int(torch.randint(2**31, (), generator=plan.random))
    replay = Replay(head.inner_calls, snapshots, outputs, asker.dtype, seed)
    for group in groups:
        group.comparison.checked = group.comparison.total = math.prod(group.in_shape)
    for place, value in outputs.items():
        ready = [group for group in groups if all(place in edge.partials for edge in group.edges)]
        for group in groups:
            if group not in ready:
                group.comparison.doubt(f"autograd does not say which of its outputs output {place} is")
        shape, arrived = parts_shape(value), head.cotangent(place)
        drawn = [plan.cotangent(shape, value.dtype) for _ in range(_RANDOM_COTANGENTS)]
        for cotangent in drawn if arrived is None else [parts_of(arrived), *drawn]:
            _Question(asker, replay, ready, place, value, cotangent, None).compare()
            ready = [group for group in ready if group not in wrong]
        numel = math.prod(shape)
        small = [group for group in ready if numel * math.prod(group.in_shape) <= DENSE_UP_TO]
        all_rows = list(np.ndindex(*shape)) if small and 1 < numel <= _ROWS_UP_TO else []
        for index in all_rows or [index for kinked_at, index in kinked if kinked_at == place and numel > 1]:
            basis = torch.zeros(shape, dtype=torch.float64)
            basis[index] = 1
            _Question(asker, replay, small if all_rows else ready, place, value, basis, index).compare()
    for group in groups:
        group.comparison.method = group.comparison.method or "numeric"
        group.comparison.step("all elements against torch's own formulas in float64")
        least = asker.least_slip(group.position)
        if HIDDEN_SLIP < least < math.inf and group.comparison.verdict == "match":
            group.comparison.note(hidden_slip_text(least, group.comparison.dtype))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """The VJP of one group, elementwise.

    Attributes:
        got: what the node answered.
        true: what torch's own formulas give in float64.
        bound: how far apart the two may be by rounding.
        formula: what backward()'s own calls give without rounding; None where that is not known, or rounding hides nothing.
    """

    got: NDArray[np.float64]
    true: NDArray[np.longdouble]
    bound: NDArray[np.float64]
    formula: Formula | None

    def doubtful(self) -> NDArray[np.bool_]:
        """Where more than rounding lies between them, or between the true number and the formula that gave this one."""
        with np.errstate(all="ignore"):
            beyond = np.asarray(~(np.abs(self.true - self.got) <= self.bound) & np.isfinite(self.got))
        return beyond if self.formula is None else beyond | (self.formula.gives(self.got) & self.formula.is_wrong(self.true))


class _Question:
    """One cotangent of one output, put to the node and to torch's own formulas; each answer is had once, where needed.

    Args:
        asker: asks the node.
        replay: torch's own formulas.
        groups: whose VJPs are compared.
        place: the output.
        value: of that output.
        cotangent: shaped like the value; of a complex one the parts.
        row: which row of the Jacobian the VJP is; None for that of a whole cotangent.
    """

    def __init__(
        self,
        asker: Asker,
        replay: Replay,
        groups: list[Group],
        place: int,
        value: Tensor,
        cotangent: Tensor,
        row: Index | None,
    ) -> None:
        self._asker, self._replay, self._groups, self._value, self._row = asker, replay, groups, value, row
        self._place, self._cotangent, self._given = place, cotangent, {place: cotangent}
        self._trials, self._granted = (_TRIALS, 1) if row is None else (_TRIALS_PER_ROW, _FEW_TRIALS)

    def compare(self) -> None:
        """What the node answers for each group with what is true."""
        for group in self._groups:
            self._compare(group)

    def _compare(self, group: Group) -> None:
        numbers = self._judged_at_range_ends(group, self._judged_on_kinks(group, self._numbers(group)))
        got, bound, what, dtype = numbers.got, numbers.bound, self._asker.name, group.comparison.dtype
        loose = loose_bound(self._value, self._cotangent, group.in_shape, dtype)
        if numbers.formula is not None:
            was_seen = group.position in self._asker.seen_right
            found = settled(numbers.formula, got, numbers.true, bound, was_seen=was_seen)
            got, bound, what = found.got, found.bound, what + found.without
            loose = np.zeros_like(loose) if found.is_wrong else loose
            group.comparison.short_of(found.short)
        self._asker.see(group.position, smallest_slip(numbers.got, numbers.true, numbers.bound, numbers.formula))
        row = self._row
        group.comparison.elements(
            got,
            numbers.true,
            bound,
            loose=loose,
            what=what,
            of="VJP" if row is None else "",
            place=None if row is None else lambda column: (*row, *column),
            cotangent=as_array(self._cotangent),
            true_vjp=_true_vjp(self._replay, self._place, group.position),
            modulus=moduli(got, dtype),
        )

    def _numbers(self, group: Group) -> _Numbers:
        gradient, bounds = self._true[group.position]
        got, true = self._answers.totals[group.position], as_array(gradient).astype(np.longdouble)
        bound = as_array(bounds) * self._granted + 8 * torch.finfo(group.comparison.dtype).tiny
        formula = self._formula(group, bound) if may_hide(got, true, bound) else None
        return _Numbers(got=got, true=true, bound=bound, formula=formula)

    def _judged_on_kinks(self, group: Group, numbers: _Numbers) -> _Numbers:
        """On a kink what backward() takes is true where it may be, and closely bounded where all of it adds up wrongly."""
        doubtful = numbers.doubtful()
        jumps = self._wrong_together(group, numbers, doubtful)
        if jumps is not None:
            group.comparison.step("on a kink: each element by itself could be right, but not all of them together")
            close = np.minimum(numbers.bound, _BLURRED * np.abs(numbers.true).max())
            return replace(numbers, bound=np.where(jumps, close, numbers.bound).astype(np.float64))
        if not doubtful.any():
            return numbers
        beside = self._beside[group.position]
        on_kink = allowed_beside(self._replay, self._given, group, numbers.got, numbers.true, doubtful, beside)
        formula = None if numbers.formula is None else numbers.formula.silent_at(on_kink)
        return replace(numbers, true=np.where(on_kink, numbers.got, numbers.true), formula=formula)

    def _judged_at_range_ends(self, group: Group, numbers: _Numbers) -> _Numbers:
        """Where numbers on the way underflow or overflow, and that may be all that is wrong, nothing is claimed."""
        got, true = numbers.got, numbers.true
        doubtful = numbers.doubtful() | (~np.isfinite(got) & np.isfinite(true))
        if not doubtful.any() or self._at_range_ends is None:
            return numbers
        found, along_edges, ends = self._at_range_ends
        of_formula = [as_array(along_edges[slot][1]) for slot in self._answers.slots[group.position] if along_edges]
        reach = self._granted * np.asarray(sum(of_formula, as_array(found[group.position][1])))
        with np.errstate(all="ignore"):
            error = np.where(np.isfinite(got), np.abs(got - true), np.abs(true)).astype(np.float64)
            hidden = doubtful & ~(error > reach)
        if not hidden.any():
            return numbers
        at = tuple(int(item) for item in np.argwhere(hidden)[0])
        group.comparison.show(at if self._row is None else (*self._row, *at), float(got[at]), float(true[at]))
        text = range_end_text(float(got[at]), float(true[at]), group.comparison.dtype, overflowed=ends.overflowed)
        group.comparison.doubt(text, "rounding")
        formula = None if numbers.formula is None else numbers.formula.silent_at(hidden)
        return replace(numbers, got=np.where(hidden, true, got).astype(np.float64), formula=formula)

    def _wrong_together(self, group: Group, numbers: _Numbers, doubtful: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Elements of a row on a kink that add up to what no choice there does; None: there are none, or no doubts."""
        is_row = (self._row is not None or self._cotangent.numel() == 1) and np.isfinite(numbers.got).all()
        is_blurred = (numbers.bound > _BLURRED * np.abs(numbers.true).max(initial=0)).any()
        if not is_row or not (doubtful.any() or is_blurred):
            return None
        return wrong_together(group.comparison.dtype, numbers.got, numbers.bound, *self._ties[group.position])

    def _formula(self, group: Group, bound: NDArray[np.float64]) -> Formula | None:
        """That of one group, whose true numbers rounding may take so far."""
        backward, slots = self._answers.backward, self._answers.slots[group.position]
        if not self._along_edges:
            return None
        unit, times, beside = self._replay.unit, self._granted, lambda: self._beside_numbers
        return in_float64(self._along_edges, backward, slots, bound, unit=unit, times=times, beside=beside)

    @cached_property
    def _beside_numbers(self) -> list[list[Tensor]] | None:
        """What backward()'s own calls give along each edge with each of their numbers of few digits a little larger."""
        beside = larger_numbers(self._answers.backward)
        return None if beside is None else [self._replay.formula(one, self._cotangent) for one in beside]

    @cached_property
    def _true(self) -> dict[int, tuple[Tensor, Tensor]]:
        """With how far rounding may take it."""
        return self._replay.bounded_vjp(self._given, trials=self._trials)

    @cached_property
    def _answers(self) -> Answers:
        return self._asker.answers(self._groups, self._place, self._cotangent)

    @cached_property
    def _along_edges(self) -> list[tuple[Tensor, Tensor]]:
        return self._along_edges_in(self._replay)

    def _along_edges_in(self, replay: Replay) -> list[tuple[Tensor, Tensor]]:
        """What backward()'s own calls give in float64 along each edge, with the rounding; [] where they cannot run again."""
        try:
            return replay.bounded_formula(self._answers.backward, self._cotangent, trials=self._trials)
        except NoRule:
            return []

    @cached_property
    def _at_range_ends(self) -> tuple[dict[int, tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]], RangeEnds] | None:
        """As `_true` and `_along_edges`, with what the ends of the range may do; None where none of them was met."""
        replay, ends = self._replay.with_range_ends()
        found = replay.bounded_vjp(self._given, trials=self._trials), self._along_edges_in(replay)
        return (*found, ends) if ends.underflowed or ends.overflowed else None

    @cached_property
    def _beside(self) -> dict[int, tuple[Tensor, Tensor]]:
        return self._replay.range_beside(self._given)

    @cached_property
    def _ties(self) -> dict[int, tuple[Tensor, float, float]]:
        return self._replay.ties_beside(self._given)


def _true_vjp(replay: Replay, place: int, position: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    return lambda cotangent: as_array(replay.vjp({place: torch.from_numpy(cotangent)})[position])


def loose_bound(value: Tensor, cotangent: Tensor, in_shape: tuple[int, ...], dtype: torch.dtype) -> NDArray[np.float64]:
    """How far a right formula may be off when it cancels: some roundings of numbers of the size of the output.

    y (1 - y) for the derivative of a sigmoid that is nearly 1 is right, and yet has no right digit left.
    """
    with np.errstate(invalid="ignore"):  # 0 times what a mask of -inf wrote
        size = np.abs(as_array(value)) * np.abs(as_array(cotangent))
    largest = size.max(initial=0.0, where=np.isfinite(size))
    spread = size if size.shape == in_shape else np.full(in_shape, largest)
    return np.asarray(CANCELLED * unit_roundoff(dtype) * spread)
