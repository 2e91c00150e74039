"""Every element of the VJPs of a function of several recorded calls, against torch's own formulas for these in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import Index, as_array, moduli
from gradviz.check.asking import Answers, Asker, Group
from gradviz.check.heads import HeadUnderCheck
from gradviz.check.judge import CANCELLED
from gradviz.check.local import DENSE_UP_TO, Plan
from gradviz.check.own_formula import Formula, in_float64, may_hide, settled
from gradviz.check.parts import parts_of, parts_shape
from gradviz.check.replay import Replay
from gradviz.check.ties import allowed_beside, wrong_together
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
    wrong is asked for one VJP only, for how wrong it is as a whole: nothing can make it right again.
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
            _compare_vjps(asker, replay, ready, place, value, cotangent, None)
            ready = [group for group in ready if group not in wrong]
        numel = math.prod(shape)
        small = [group for group in ready if numel * math.prod(group.in_shape) <= DENSE_UP_TO]
        all_rows = list(np.ndindex(*shape)) if small and 1 < numel <= _ROWS_UP_TO else []
        for index in all_rows or [index for kinked_at, index in kinked if kinked_at == place and numel > 1]:
            basis = torch.zeros(shape, dtype=torch.float64)
            basis[index] = 1
            _compare_vjps(asker, replay, small if all_rows else ready, place, value, basis, index)
    for group in groups:
        group.comparison.method = group.comparison.method or "numeric"
        group.comparison.step("all elements against torch's own formulas in float64")


def _compare_vjps(
    asker: Asker,
    replay: Replay,
    groups: list[Group],
    place: int,
    value: Tensor,
    cotangent: Tensor,
    row: Index | None,
) -> None:
    """One VJP of every group, elementwise; `row` says which row of the Jacobian it is, None for a whole cotangent."""
    if not groups:
        return
    bounded = replay.bounded_vjp({place: cotangent}, trials=_TRIALS if row is None else _TRIALS_PER_ROW)
    answers = asker.answers(groups, place, cotangent)
    own = _OwnFormulas(replay, answers, cotangent, row is not None)
    beside: dict[int, tuple[Tensor, Tensor]] = {}
    ties: dict[int, tuple[Tensor, float, float]] = {}
    for group in groups:
        gradient, bounds = bounded[group.position]
        got, true = answers.totals[group.position], as_array(gradient).astype(np.longdouble)
        bound = as_array(bounds) * (1 if row is None else _FEW_TRIALS) + 8 * torch.finfo(group.comparison.dtype).tiny
        formula = own.of(group, bound) if may_hide(got, true, bound) else None
        doubtful = _beyond(got, true, bound)
        if formula is not None:
            doubtful |= formula.gives(got) & formula.is_wrong(true)
        is_one = (row is not None or cotangent.numel() == 1) and np.isfinite(got).all()
        jumps = None
        if is_one and (doubtful.any() or (bound > _BLURRED * np.abs(true).max(initial=0)).any()):
            ties = ties or replay.ties_beside({place: cotangent})
            jumps = wrong_together(group.comparison.dtype, got, bound, *ties[group.position])
        if jumps is not None:
            group.comparison.step("on a kink: each element by itself could be right, but not all of them together")
            bound = np.where(jumps, np.minimum(bound, _BLURRED * np.abs(true).max()), bound).astype(np.float64)
        elif doubtful.any():
            beside = beside or replay.range_beside({place: cotangent})
            on_kink = allowed_beside(replay, {place: cotangent}, group, got, true, doubtful, beside[group.position])
            true = np.where(on_kink, got, true)
            formula = None if formula is None else formula.silent_at(on_kink)
        loose, what = loose_bound(value, cotangent, group.in_shape, group.comparison.dtype), asker.name
        if formula is not None:
            found = settled(formula, got, true, bound, was_seen=group.position in asker.seen_right)
            got, bound, what = found.got, found.bound, asker.name + found.without
            loose = np.zeros_like(loose) if found.is_wrong else loose
        group.comparison.elements(
            got,
            true,
            bound,
            loose=loose,
            what=what,
            of="VJP" if row is None else "",
            place=None if row is None else lambda column: (*row, *column),
            cotangent=as_array(cotangent),
            true_vjp=_true_vjp(replay, place, group.position),
            modulus=moduli(got, group.comparison.dtype),
        )


def _beyond(got: NDArray[np.float64], true: NDArray[np.longdouble], bound: NDArray[np.float64]) -> NDArray[np.bool_]:
    with np.errstate(all="ignore"):
        return np.asarray(~(np.abs(true - got) <= bound) & np.isfinite(got))


class _OwnFormulas:
    """What backward()'s own calls give in float64, run again once that is asked for."""

    def __init__(self, replay: Replay, answers: Answers, cotangent: Tensor, is_row: bool) -> None:
        self._replay, self._answers, self._cotangent, self._is_row = replay, answers, cotangent, is_row

    @cached_property
    def _found(self) -> list[tuple[Tensor, Tensor]]:
        """Along each edge, with the rounding; [] where the calls cannot be run again."""
        trials = _TRIALS_PER_ROW if self._is_row else _TRIALS
        try:
            return self._replay.bounded_formula(self._answers.backward, self._cotangent, trials=trials)
        except NoRule:
            return []

    def of(self, group: Group, bound: NDArray[np.float64]) -> Formula | None:
        """That of one group, whose true numbers rounding may take so far."""
        if not self._found:
            return None
        slots, times = self._answers.slots[group.position], _FEW_TRIALS if self._is_row else 1
        return in_float64(self._found, self._answers.backward, slots, bound, unit=self._replay.unit, times=times)


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
