"""The edges into a function of several recorded calls: a custom `autograd.Function`, or a write through a view.

What its forward really ran is differentiated twice: symbolically on sampled rows, and by torch's own formulas in float64 on
every element. The hand-written backward is judged against both, so that a slip in one element of many is found.
"""

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
from gradviz.check.forwards import check_by_forward
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.check.judge import CANCELLED
from gradviz.check.local import COLUMNS, DENSE_UP_TO, LONG_ROW, Plan
from gradviz.check.own_formula import ExactFormula, Formula, SettledRow, in_float64, may_hide, settled, settled_row
from gradviz.check.parts import parts_of, parts_shape
from gradviz.check.replay import Replay
from gradviz.check.rows import columns_to_look_at, compare_row
from gradviz.check.ties import allowed_beside, wrong_together
from gradviz.symbolic import NoRule, Reference, compose, unit_roundoff

_RANDOM_COTANGENTS = 2
_BLURRED = 2.0**-6
"""A bound of this part of the largest element is more than rounding: some trials were on the other side of a kink."""
_TRIALS, _TRIALS_PER_ROW = 6, 2
_FEW_TRIALS = 8
"""So many times as much as few trials show is granted."""
_ROWS_UP_TO = 64
_CALLS_TO_COMPOSE = 400
_WRITES = (
    "backward() changes the cotangent that it is handed in place, and with it the gradients of all else that was handed "
    "the same tensor"
)


def check_custom(head: HeadUnderCheck, plan: Plan) -> None:
    """Compares every edge of a head without a call of its own with what is known of it: its calls, or its forward itself.

    Raises:
        NoRule: neither a symbolic nor a float64 reference can be had.
        PartialError: the autograd node can no longer be asked.
    """
    reason, unclear = head.left_torch, head.edges
    if not reason:
        unclear = check_composed(head, plan)
        reason = "no recorded op of forward() leads from this argument to the result, yet backward() gives it a gradient"
    if unclear:
        check_by_forward(head, unclear, plan, reason)
    for edge in head.edges:
        if any(partial.writes_to_cotangent() for partial in edge.partials.values()):
            edge.comparison.wrong(_WRITES)


def check_composed(head: HeadUnderCheck, plan: Plan) -> list[EdgeUnderCheck]:
    """Compares every edge of a head that has `inner_calls` with what these calls compute.

    Returns:
        the edges that get a gradient although no call leads from them to the result: of these nothing is known yet.

    Raises:
        NoRule: neither a symbolic nor a float64 reference can be had.
        PartialError: the autograd node can no longer be asked.
    """
    outputs = head.made_inside()
    groups, unexplained = _groups(head)
    if not groups:
        return unexplained
    made = [output for call in head.inner_calls for output in call.outputs if output is not None]
    asker = Asker(head, _coarsest([*(group.snapshot for group in groups), *outputs.values(), *made]))
    kinked: list[tuple[int, Index]] = []
    missing_rule = ""
    try:
        kinked = _compare_samples(head, asker, groups, outputs, plan)
    except NoRule as missing:
        missing_rule = missing.reason
    try:
        _compare_all(head, asker, groups, outputs, plan, kinked)
    except NoRule as missing:
        if missing_rule:
            raise
        for group in groups:
            group.comparison.step(f"sampled rows only: {missing.reason}")
    for group in groups:
        _share(group)
    return unexplained


def _groups(head: HeadUnderCheck) -> tuple[list[Group], list[EdgeUnderCheck]]:
    """The edges by the value that they carry, and those whose value forward did not use, yet backward() gives a gradient.

    What forward did not use, and gets no gradient, is settled here.
    """
    snapshots = head.attributes["inner_inputs"]
    by_value: dict[tuple[int, int], list[EdgeUnderCheck]] = {}
    for edge in head.edges:
        by_value.setdefault((edge.edge[0], edge.use.output), []).append(edge)
    groups: list[Group] = []
    unexplained: list[EdgeUnderCheck] = []
    for edges in by_value.values():
        read = [edge for edge in edges if edge.position < len(snapshots) and head.leads_on(snapshots[edge.position])]
        if read:
            first = read[0].position
            groups.append(
                Group(position=first, snapshot=snapshots[first], edges=[read[0], *(e for e in edges if e is not read[0])])
            )
            continue
        unexplained += [edge for edge in edges if not _check_unread(head, edge)]
    return groups, unexplained


def _check_unread(head: HeadUnderCheck, edge: EdgeUnderCheck) -> bool:
    """Whether an argument that no recorded call used gets no gradient, and so has its derivative of 0."""
    comparison = edge.comparison
    for place in head.outputs:
        if place not in edge.partials:
            continue
        ones = torch.ones(edge.partials[place].out_shape, dtype=torch.float64)
        if np.any(as_array(edge.partials[place].vjp(ones))):
            return False
    comparison.method = "numeric"
    comparison.checked = comparison.total = edge.in_numel
    comparison.step("forward() does not use this argument, and backward() gives it no gradient")
    return True


def _compare_samples(
    head: HeadUnderCheck, asker: Asker, groups: list[Group], outputs: dict[int, Tensor], plan: Plan
) -> list[tuple[int, Index]]:
    """Sampled rows against the symbolic composition; the (place, index) of those on a kink come back.

    Raises:
        NoRule: there is no such composition.
    """
    if len(head.inner_calls) > _CALLS_TO_COMPOSE:
        raise NoRule(f"forward() ran {len(head.inner_calls)} ops, more than {_CALLS_TO_COMPOSE}")
    places, kinked = list(outputs), []
    for number, place in enumerate(places):
        shape = parts_shape(outputs[place])
        for flat in plan.choose(plan.samples, math.prod(shape)):
            index = tuple(int(item) for item in np.unravel_index(flat, shape))
            if _compare_row(head, asker, groups, outputs, places, number, index, plan):
                kinked.append((place, index))
    for group in groups:
        group.comparison.method = "symbolic"
    return kinked


def _compare_row(
    head: HeadUnderCheck,
    asker: Asker,
    groups: list[Group],
    outputs: dict[int, Tensor],
    places: list[int],
    number: int,
    index: Index,
    plan: Plan,
) -> bool:
    """One row of every group's Jacobian. Whether it lies on a kink: that is left to the comparison of all elements."""
    basis = torch.zeros(parts_shape(outputs[places[number]]), dtype=torch.float64)
    basis[index] = 1
    answers = asker.answers(groups, places[number], basis)
    got = answers.totals
    columns = {
        position: columns_to_look_at(numbers, plan.choose, COLUMNS) if numbers.size > LONG_ROW else None
        for position, numbers in got.items()
    }
    truth = _composition(head, groups, [outputs[place] for place in places], columns)
    if truth.outputs[number] is None:
        raise NoRule(f"output {places[number]} of forward() is not differentiable")
    row = truth.row(index, output=number)
    exact = None if row.kinks else _exact(asker, answers)
    for slot, group in enumerate(groups):
        picked, numbers = columns[group.position], got[group.position]
        loose = loose_bound(outputs[places[number]], basis, group.in_shape, group.comparison.dtype).max(initial=0.0)
        found = SettledRow(row=row, got=numbers)
        if exact is not None:
            own, was_seen = answers.slots[group.position], group.position in asker.seen_right
            found = settled_row(row, slot, numbers, picked, exact, own, was_seen=was_seen)
            asker.seen_right |= {group.position} if found.is_right else set()
        compare_row(
            group.comparison,
            index,
            found.got,
            found.row,
            slot,
            on_kink=None,
            columns=picked,
            loose=0.0 if found.is_wrong else float(loose),
            what=asker.name + found.without,
        )
    return bool(row.kinks)


def _exact(asker: Asker, answers: Answers) -> ExactFormula | None:
    try:
        return asker.exact(answers)
    except NoRule:
        return None  # the formula is then known in float64 only, if at all


def _composition(
    head: HeadUnderCheck, groups: list[Group], outputs: list[Tensor], columns: dict[int, list[Index] | None]
) -> Reference:
    chosen = None
    if any(picked is not None for picked in columns.values()):
        chosen = {}
        for slot, group in enumerate(groups):
            picked = columns[group.position]
            chosen[slot] = frozenset(np.ndindex(*group.in_shape) if picked is None else picked)
    return compose(head.inner_calls, [group.snapshot for group in groups], outputs, chosen=chosen)


def _compare_all(
    head: HeadUnderCheck,
    asker: Asker,
    groups: list[Group],
    outputs: dict[int, Tensor],
    plan: Plan,
    kinked: list[tuple[int, Index]],
) -> None:
    """Every element of the VJPs of the real and of random cotangents, and of the whole Jacobian where it is small.

    Of a large one the `kinked` rows: what ties can only be judged row by row.
    """
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


def _share(group: Group) -> None:
    """Edges that carry the same value share the verdict on their sum."""
    if len(group.edges) == 1:
        return
    group.comparison.step("the value is passed several times: the sum over its uses was compared")
    for edge in group.edges[1:]:
        edge.comparison = group.comparison


def _coarsest(tensors: list[Tensor]) -> torch.dtype:
    floating = [tensor.dtype for tensor in tensors if tensor.dtype.is_floating_point or tensor.dtype.is_complex]
    return max(floating, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)
