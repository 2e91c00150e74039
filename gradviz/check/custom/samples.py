"""Sampled rows of the Jacobian of a function of several recorded calls, against sympy's derivative of their composition.

An element of a product of matrices is made of thousands of numbers. They are followed to 50 digits as long as they are few,
then as arrays of wide floats; a row that is made of too many even for these is left to torch's own formulas.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gradviz.check.arrays import Index
from gradviz.check.custom.asking import AT_ONCE, Answers, Asker, Group
from gradviz.check.custom.elements import loose_bound
from gradviz.check.custom.own_formula import ExactFormula, SettledRow, settled_row
from gradviz.check.heads import HeadUnderCheck
from gradviz.check.local import COLUMNS, LONG_ROW, Plan
from gradviz.check.parts import parts_shape
from gradviz.check.rows import columns_to_look_at, compare_row
from gradviz.check.wording import range_end_text
from gradviz.symbolic import Allowance, NoRule, Reference, Row, TooMuchWork, compose

_CALLS_TO_COMPOSE = 400
_CALLS_AT_ONCE = 100
_THREE_DIGITS = 2.0**-11


def compare_samples(
    head: HeadUnderCheck, asker: Asker, groups: list[Group], outputs: dict[int, Tensor], plan: Plan
) -> list[tuple[int, Index]]:
    """Sampled rows against the symbolic composition; the (place, index) of those that are left to the comparison of all
    elements come back: what lies on a kink, and what is made of too many numbers.

    Raises:
        NoRule: there is no such composition.
    """
    if len(head.inner_calls) > _CALLS_TO_COMPOSE:
        raise NoRule(f"forward() ran {len(head.inner_calls)} ops, more than {_CALLS_TO_COMPOSE}")
    rows = _Rows(head, asker, groups, outputs)
    left = []
    for place, value in outputs.items():
        shape = parts_shape(value)
        for flat in plan.choose(plan.samples, math.prod(shape)):
            index = tuple(int(item) for item in np.unravel_index(flat, shape))
            if not rows.compare(place, index, plan):
                left.append((place, index))
    for group in groups:
        if rows.too_long:
            group.comparison.step(f"{rows.too_long} of {rows.looked_at} sampled rows are made of too many numbers for sympy")
        group.comparison.method = "symbolic" if rows.too_long < max(rows.looked_at, 1) else ""
    return left


class _Rows:
    """The rows of all groups' Jacobians.

    Attributes:
        looked_at: how many rows were looked at.
        too_long: of how many it is not known what is true.
    """

    def __init__(self, head: HeadUnderCheck, asker: Asker, groups: list[Group], outputs: dict[int, Tensor]) -> None:
        self._head, self._asker, self._groups, self._outputs = head, asker, groups, outputs
        self._numbers = {place: number for number, place in enumerate(outputs)}
        self.looked_at = self.too_long = 0
        self._overflowed = False  # a number on the way to the last row

    def compare(self, place: int, index: Index, plan: Plan) -> bool:
        """Compares one row of every group. False where it lies on a kink, or is too long: that is left to others.

        Where all groups were seen to be wrong there is nothing left to find out: an element that merely rounds badly could
        only take the place of the one that tells what is wrong.
        """
        if all(group.comparison.is_wrong for group in self._groups):
            return True
        basis = torch.zeros(parts_shape(self._outputs[place]), dtype=torch.float64)
        basis[index] = 1
        answers = self._asker.answers(self._groups, place, basis)
        columns = {
            position: columns_to_look_at(numbers, plan.choose, COLUMNS) if numbers.size > LONG_ROW else None
            for position, numbers in answers.totals.items()
        }
        found = self._followed(place, index, answers, columns)
        self.looked_at += 1
        self.too_long += found is None
        for slot, (group, settled) in enumerate(zip(self._groups, found or (), strict=False)):
            self._keep(group, settled)
            loose = loose_bound(self._outputs[place], basis, group.in_shape, group.comparison.dtype).max(initial=0.0)
            group.comparison.overflowed = self._overflowed  # which says nothing of other rows
            compare_row(
                group.comparison,
                index,
                settled.got,
                settled.row,
                slot,
                on_kink=None,
                columns=columns[group.position],
                loose=0.0 if settled.is_wrong else float(loose),
                what=self._asker.name + settled.without,
            )
            group.comparison.overflowed = False
            if self._overflowed and (lost := _lost_digits(settled, slot, group.comparison.dtype)) is not None:
                group.comparison.doubt(range_end_text(*lost, group.comparison.dtype, overflowed=True), "rounding")
        return found is not None and not any(settled.row.kinks for settled in found)

    def _keep(self, group: Group, settled: SettledRow) -> None:
        if settled.is_right:
            self._asker.seen_right.add(group.position)
        group.comparison.short_of(settled.short)

    def _followed(
        self, place: int, index: Index, answers: Answers, columns: dict[int, list[Index] | None]
    ) -> list[SettledRow] | None:
        """The row of each group, to 50 digits or in wide floats; None where it is made of too many numbers."""
        for at_once, allowance in ((False, self._asker.one_by_one), (True, Allowance(AT_ONCE))):
            try:
                with allowance.entered():
                    return self._settled(place, index, answers, columns, at_once=at_once)
            except TooMuchWork:
                continue
        return None

    def _settled(
        self, place: int, index: Index, answers: Answers, columns: dict[int, list[Index] | None], *, at_once: bool
    ) -> list[SettledRow]:
        """The row of each group, judged by backward()'s own formula where that is known."""
        truth = self._composition(columns, at_once=at_once)
        number = self._numbers[place]
        if truth.outputs[number] is None:
            raise NoRule(f"output {place} of forward() is not differentiable")
        row = truth.row_at_once(index, output=number) if at_once else truth.row(index, output=number)
        if row is None:
            raise TooMuchWork
        self._overflowed = truth.overflowed
        exact = None if row.kinks else self._exact(answers, at_once=at_once)
        return [self._settled_row(slot, group, row, answers, columns, exact) for slot, group in enumerate(self._groups)]

    def _settled_row(
        self,
        slot: int,
        group: Group,
        row: Row,
        answers: Answers,
        columns: dict[int, list[Index] | None],
        exact: ExactFormula | None,
    ) -> SettledRow:
        at = group.position
        got = answers.totals[at]
        if exact is None:
            return SettledRow(row=row, got=got)
        was_seen = at in self._asker.seen_right
        return settled_row(row, slot, got, columns[at], exact, answers.slots[at], was_seen=was_seen)

    def _exact(self, answers: Answers, *, at_once: bool) -> ExactFormula | None:
        try:
            return self._asker.exact(answers, at_once=at_once)
        except NoRule:
            return None  # the formula is then known in float64 only, if at all

    def _composition(self, columns: dict[int, list[Index] | None], *, at_once: bool) -> Reference:
        calls, groups, chosen = self._head.inner_calls, self._groups, None
        if at_once and len(calls) > _CALLS_AT_ONCE:
            raise TooMuchWork
        if any(picked is not None for picked in columns.values()):
            chosen = {}
            for slot, group in enumerate(groups):
                picked = columns[group.position]
                chosen[slot] = frozenset(np.ndindex(*group.in_shape) if picked is None else picked)
        outputs = list(self._outputs.values())
        return compose(calls, [group.snapshot for group in groups], outputs, chosen=chosen, at_once=at_once)


def _lost_digits(found: SettledRow, slot: int, dtype: torch.dtype) -> tuple[float, float] | None:
    """A number of a row, and the true one, that are not the same to three digits, whatever bounds say; or None."""
    for column, exact in found.row.partials.get(slot, {}).items():
        got, true = float(found.got[column]), float(exact)
        if abs(got - true) > max(_THREE_DIGITS * abs(true), 8 * torch.finfo(dtype).tiny):
            return got, true
    return None
