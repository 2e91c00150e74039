"""A hand-written backward() judged twice: is its formula right, and is what it gives that formula but for rounding?

The formula without rounding stands between the two: run again in float64 for every element, and in exact numbers for some. A
right formula then passes however many digits cancel in it, and a wrong one is told even where rounding hides it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.check.arrays import Index, as_array
from gradviz.check.custom.backward_calls import BackwardCalls, ForwardValues
from gradviz.check.custom.lengths import forward_length
from gradviz.symbolic import Exact, Reference, Row, TooMuchWork, compose, unit_roundoff
from gradviz.symbolic.arithmetic import EXACT, to_wide
from gradviz.symbolic.bulk import LONG
from gradviz.symbolic.rounding import smallest

Array = NDArray[np.float64]
Wide = NDArray[np.longdouble]
_DOUBLE, _WIDE, _EXACT = 2.0**-53, 2.0**-60, 2.0**-120
"""u of the arithmetic in which a formula is computed: float64, that of long sums (`symbolic.bulk`), and 50 digits."""
_SAME_LITERAL = 2.0**-14
"""Relative to the true number: so far off is a formula, at most, for a constant that was written with few digits."""
_TELLING = 2.0**-20
"""Relative to the true number: nobody cares for less, whatever the formula."""
_HIDES = 2.0**-11
"""Relative to the true number: rounding that may hide a slip of a tenth of a percent."""
_LARGEST = 4
_NUMBERS = 8
"""Of formulas with more numbers of few digits it is not computed what comes of these."""
HIDDEN_SLIP = _HIDES
"""From so much of the true number on it is told that rounding hides a slip."""
_HIDDEN = 3
_ONE_BY_ONE = 64
_AT_FIRST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Formula:
    """What backward()'s formula gives, elementwise.

    Attributes:
        value: without rounding.
        bound: how far rounding may take what it gives in the working dtype.
        tight: what gives the very same numbers is no farther from the true one than this.
        same: a right formula is no farther from it than this: a constant in it may be written with few digits.
        wrong: a formula is wrong that is farther from it than this.
    """

    value: Wide
    bound: Array
    tight: Array
    same: Array
    wrong: Array

    def silent_at(self, places: NDArray[np.bool_]) -> Formula:
        """The same, which says nothing at these places."""
        return replace(self, value=np.where(places, np.nan, self.value))

    def is_right(self, true: Wide, *, was_seen: bool) -> NDArray[np.bool_]:
        """Where it is seen to be right; `was_seen`: elsewhere, so that here it need only not be seen to be wrong."""
        with np.errstate(all="ignore"):
            is_near = np.abs(self.value - true) <= self.same
            tells = (self.same <= _HIDES * np.abs(true)) | (true == 0)
            return np.asarray(is_near & (tells | was_seen))

    def is_wrong(self, true: Wide) -> NDArray[np.bool_]:
        with np.errstate(all="ignore"):
            apart = np.abs(self.value - true)
            return np.asarray((apart > self.wrong) & (apart > _TELLING * np.abs(true)) & np.isfinite(apart))

    def gives(self, got: Array) -> NDArray[np.bool_]:
        """Where the formula gives these numbers, but for rounding."""
        with np.errstate(all="ignore"):
            return np.asarray(np.abs(self.value - got) <= self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Numbers to be compared with the true ones, rounding apart from the formula.

    Attributes:
        got: backward()'s; what its formula gives without rounding, where that is wrong and rounding hides it.
        bound: how far apart they may be: enlarged where a right formula gives them.
        is_wrong: whether a wrong formula was found.
        without: what is to be said of backward() where its number is not the one that is compared.
        short: how far, relative to the true number, the formula is off that was taken for right all the same.
    """

    got: Array
    bound: Array
    is_wrong: bool
    without: str
    short: float = 0.0


def settled(formula: Formula, got: Array, true: Wide, bound: Array, *, was_seen: bool) -> Settled:
    """Judges numbers by the formula that gave them.

    Args:
        formula: what backward() computes.
        got: its numbers.
        true: the true ones.
        bound: how far apart the two may be whatever the formula.
        was_seen: whether the formula was seen to be right for other numbers.
    """
    gives = formula.gives(got)
    wrong = gives & formula.is_wrong(true)
    with np.errstate(all="ignore"):
        error, apart = (np.abs(one - true).astype(np.float64) for one in (got, formula.value))
        shows = wrong & (4 * np.abs(got - formula.value) < apart)
        excused = ~(error <= bound) & gives & formula.is_right(true, was_seen=was_seen)
        if wrong.any() and not shows.any():
            without = np.where(gives, formula.value.astype(np.float64), got)
            allowed = np.where(gives, np.maximum(formula.wrong, _TELLING * np.abs(true).astype(np.float64)), bound)
            return Settled(got=without, bound=allowed, is_wrong=True, without=" without its rounding")
        allowed = np.where(excused, error * (1 + 2.0**-20), np.where(shows, np.minimum(bound, apart / 2), bound))
        off = np.where(excused & (apart > formula.tight), apart / np.abs(true).astype(np.float64), 0.0)
    return Settled(got=got, bound=allowed, is_wrong=bool(shows.any()), without="", short=float(off.max(initial=0.0)))


def in_float64(
    found: Sequence[tuple[torch.Tensor, torch.Tensor]],
    backward: BackwardCalls,
    slots: Sequence[int],
    true_bound: Array,
    *,
    unit: float,
    times: float,
    beside: Callable[[], Sequence[Sequence[torch.Tensor]] | None],
) -> Formula:
    """The formula of every element, as `Replay.bounded_formula` found it, summed over the edges in these slots.

    Args:
        found: value and bound along each edge.
        backward: what ran.
        slots: the edges.
        true_bound: how far rounding may take what is computed from the true formula.
        unit: u of the working dtype.
        times: how many times the bound found is granted: few trials bound badly.
        beside: gives the value along each edge with each of `larger_numbers` in turn; None where that is not known.
    """
    value = np.asarray(sum(as_array(found[slot][0]) for slot in slots), dtype=np.longdouble)
    bound = times * np.asarray(sum(as_array(found[slot][1]) for slot in slots))
    formula = _formula(value, bound, true_bound, _DOUBLE / unit, backward.is_exact)
    if not _is_loose(formula, backward) or (found_beside := beside()) is None:
        return formula
    with np.errstate(all="ignore"):  # infinite ones tell nothing
        apart = [np.abs(np.asarray(sum(as_array(one[slot]) for slot in slots)) - value) for one in found_beside]
        return _as_far_as_digits(formula, np.asarray(2 * np.sum(apart, axis=0), dtype=np.float64))


def larger_numbers(backward: BackwardCalls) -> list[BackwardCalls] | None:
    """The formula with each of its numbers of few digits a little larger in turn; None where that is not known."""
    if backward.rounded is None or len(backward.rounded) > _NUMBERS:
        return None
    return [backward.with_larger(one, _SAME_LITERAL) for one in backward.rounded]


def smallest_slip(got: Array, true: Wide, bound: Array, formula: Formula | None) -> float:
    """The smallest slip in all elements, relative to the true numbers, that would have been seen in one of them."""
    with np.errstate(all="ignore"):
        size = np.abs(true).astype(np.float64)
        needed = bound if formula is None else np.where(formula.gives(got), np.minimum(bound, formula.wrong), bound)
        return float(np.nanmin(np.where(size > 0, needed / size, np.inf), initial=np.inf))


def _is_loose(formula: Formula, backward: BackwardCalls) -> bool:
    """Whether rounding hides a slip in a formula of which numbers may have few digits."""
    with np.errstate(all="ignore"):
        return not backward.is_exact and bool((formula.wrong > _HIDES * np.abs(formula.value)).any())


def _as_far_as_digits(formula: Formula, moved: Array) -> Formula:
    """The same, wrong where it is farther off than its numbers of few digits can take it."""
    return replace(formula, wrong=np.fmin(formula.wrong, np.maximum(formula.same, moved)))


def may_hide(got: Array, true: Wide, bound: Array) -> bool:
    """Whether numbers are not within the bound, or it may hide a slip in one that is not 0."""
    with np.errstate(all="ignore"):
        return bool((~(np.abs(true - got) <= bound) | ((bound > _HIDES * np.abs(true)) & ((true != 0) | (got != 0)))).any())


def _formula(value: Wide, bound: Array, true_bound: Array, scale: float, is_exact: bool) -> Formula:
    with np.errstate(all="ignore"):
        both = bound + true_bound
        tight = both * scale + 2.0**-45 * np.abs(value).astype(np.float64)
        if is_exact:
            return Formula(value=value, bound=bound, tight=tight, same=tight, wrong=tight)
        few_digits = _SAME_LITERAL * np.abs(value).astype(np.float64)
        return Formula(value=value, bound=bound, tight=tight, same=tight + few_digits, wrong=np.maximum(both, tight))


class ExactFormula:
    """The calls of a forward and of its backward for one cotangent, composed.

    Args:
        forward: what its calls read and made.
        backward: what ran for the cotangent.
        unit: u of the coarsest dtype in forward: backward() may round as coarsely, and no more so.
        at_once: whether wide floats are exact enough: elements are then had as arrays.

    Raises:
        NoRule: one of them has no rule.
    """

    def __init__(self, forward: ForwardValues, backward: BackwardCalls, unit: float, *, at_once: bool) -> None:
        self._forward, self._backward, self._at_once = forward, backward, at_once
        self._truth = self._composed(backward)
        self.smallest = smallest(self._truth.dtype)
        is_long = any(forward_length(call) > LONG for call in (*forward.calls, *backward.calls))
        self._scale = (_WIDE if is_long or at_once else _EXACT) / unit
        self._granted = min(1.0, unit / unit_roundoff(self._truth.dtype))

    def at(self, slots: Sequence[int], columns: Sequence[Index], true_bound: Array) -> Formula:
        """The formula at some elements, summed over the edges in these slots.

        Raises:
            TooMuchWork: an allowance is used up, or the elements are not to be had as arrays.
        """
        value, bound = self._summed(self._truth, slots, columns)
        formula = _formula(value, self._granted * bound, true_bound, self._scale, self._backward.is_exact)
        if not _is_loose(formula, self._backward) or self._beside is None:
            return formula
        with np.errstate(all="ignore"):
            apart = [np.abs(self._summed(beside, slots, columns)[0] - value) for beside in self._beside]
            return _as_far_as_digits(formula, np.asarray(2 * np.sum(apart, axis=0), dtype=np.float64))

    @cached_property
    def _beside(self) -> list[Reference] | None:
        """The formula with each of its numbers that may have few digits a little larger in turn."""
        beside = larger_numbers(self._backward)
        return None if beside is None else [self._composed(one) for one in beside]

    def _composed(self, backward: BackwardCalls) -> Reference:
        calls, given = (*self._forward.calls, *backward.calls), [*self._forward.given, backward.cotangent, *backward.others]
        return compose(calls, given, backward.answers, chosen={}, at_once=self._at_once)

    def _summed(self, truth: Reference, slots: Sequence[int], columns: Sequence[Index]) -> tuple[Wide, Array]:
        """Elements of a formula and their rounding, summed over the edges in these slots."""
        value, bound = np.zeros(len(columns), dtype=np.longdouble), np.zeros(len(columns))
        for slot in slots:
            more, rounding = _elements(truth, slot, columns, at_once=self._at_once)
            value, bound = value + more, bound + rounding
        return value, bound


def _elements(truth: Reference, slot: int, columns: Sequence[Index], *, at_once: bool) -> tuple[Wide, Array]:
    made = truth.outputs[slot]
    if (at_once or len(columns) > _ONE_BY_ONE) and made is not None:
        flats = np.ravel_multi_index(tuple(np.array(columns).T), made.shape) if made.shape else np.zeros(1, dtype=np.int64)
        found = truth.values_at_once(flats.tolist(), output=slot)
        if found is not None:
            return found.value, found.bound
    if at_once:
        raise TooMuchWork
    exact = [truth.value(column, output=slot) for column in columns]
    values = np.array([to_wide(one.value) for one in exact], dtype=np.longdouble)
    return values, np.array([one.bound for one in exact])


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledRow:
    """A row of a Jacobian, to be compared with the true one.

    Attributes:
        row: the true one, with the bounds that follow from the formula.
        got: backward()'s, or what its formula gives without rounding.
        is_wrong, without, short: as of `Settled`.
        is_right: whether the formula was seen to be right, where the row is not 0.
    """

    row: Row
    got: Array
    is_wrong: bool = False
    without: str = ""
    short: float = 0.0
    is_right: bool = False


def settled_row(
    row: Row,
    position: int,
    got: Array,
    columns: Sequence[Index] | None,
    exact: ExactFormula,
    slots: Sequence[int],
    *,
    was_seen: bool,
) -> SettledRow:
    """One row of a Jacobian, judged by exact numbers where rounding hides something.

    Args:
        row: the true one.
        position: the edge key in it.
        got: backward()'s.
        columns: the only elements to look at; None for all.
        exact: backward()'s formula.
        slots: the edges that the row is a sum over.
        was_seen: whether the formula was seen to be right in another row; if not, the largest numbers are looked at too.
    """
    looked_at, true, bound = _looked_at(row, position, got, columns, exact.smallest, 0 if was_seen else _LARGEST)
    if not looked_at:
        return SettledRow(row=row, got=got)
    numbers = np.array([got[column] for column in looked_at])
    formula = exact.at(slots, looked_at[:_AT_FIRST], bound[:_AT_FIRST])
    if formula.is_wrong(true[:_AT_FIRST]).any():  # the others then need no looking at
        looked_at, true, bound, numbers = looked_at[:_AT_FIRST], true[:_AT_FIRST], bound[:_AT_FIRST], numbers[:_AT_FIRST]
    elif len(looked_at) > _AT_FIRST:
        formula = exact.at(slots, looked_at, bound)
    found = settled(formula, numbers, true, bound, was_seen=was_seen)
    partials, got = dict(row.partials.get(position, {})), got.astype(np.float64)
    for column, number, allowed in zip(looked_at, found.got, found.bound, strict=True):
        got[column] = number
        partials[column] = Exact(partials[column].value if column in partials else EXACT.number(0), float(allowed))
    right = formula.is_right(true, was_seen=False)
    return SettledRow(
        row=Row(partials={**row.partials, position: partials}, kinks=row.kinks, kinked=row.kinked),
        got=got,
        is_wrong=found.is_wrong,
        without=found.without,
        short=found.short,
        is_right=bool(right.all() and (true != 0).any()),
    )


def _looked_at(
    row: Row, position: int, got: Array, columns: Sequence[Index] | None, smallest: float, largest: int
) -> tuple[list[Index], Wide, Array]:
    """Elements that numbers do not settle, some where rounding could hide a slip, and so many of the largest."""
    partials = row.partials.get(position, {})
    filled = [tuple(index) for index in np.argwhere(got).tolist()] if columns is None else columns
    everywhere = list(dict.fromkeys([*(one for one in partials if columns is None), *filled]))
    known = [partials.get(column) for column in everywhere]
    true = np.array([np.longdouble(0) if one is None else to_wide(one.value) for one in known], dtype=np.longdouble)
    bound = np.array([0.0 if one is None else one.bound for one in known])
    numbers = np.array([got[column] for column in everywhere], dtype=np.float64)
    with np.errstate(all="ignore"):
        size = np.abs(true).astype(np.float64)
        unsettled = ~(np.abs(true - numbers) <= bound)
        hides = np.where(~unsettled & (bound > 2.0**10 * smallest), bound / np.maximum(size, smallest), 0.0)
    picked = {*np.flatnonzero(unsettled).tolist(), *np.argsort(-size, kind="stable")[:largest].tolist()}
    picked |= {place for place in np.argsort(-hides, kind="stable")[:_HIDDEN].tolist() if hides[place] > _HIDES}
    order = sorted(picked)
    return [everywhere[place] for place in order], true[order], bound[order]
