"""Sampled rows of the Jacobian of a function of several recorded calls, against sympy's derivative of their composition."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gradviz.check.arrays import Index
from gradviz.check.custom.asking import Answers, Asker, Group
from gradviz.check.custom.elements import loose_bound
from gradviz.check.custom.own_formula import ExactFormula, SettledRow, settled_row
from gradviz.check.heads import HeadUnderCheck
from gradviz.check.local import COLUMNS, LONG_ROW, Plan
from gradviz.check.parts import parts_shape
from gradviz.check.rows import columns_to_look_at, compare_row
from gradviz.symbolic import NoRule, Reference, Row, compose

_CALLS_TO_COMPOSE = 400


def compare_samples(
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
    """One row of every group's Jacobian. Whether it lies on a kink: that is left to the comparison of all elements.

    Where all groups were seen to be wrong there is nothing left to find out: an element that merely rounds badly could only
    take the place of the one that tells what is wrong.
    """
    if all(group.comparison.is_wrong for group in groups):
        return False
    basis = torch.zeros(parts_shape(outputs[places[number]]), dtype=torch.float64)
    basis[index] = 1
    answers = asker.answers(groups, places[number], basis)
    columns = {
        position: columns_to_look_at(numbers, plan.choose, COLUMNS) if numbers.size > LONG_ROW else None
        for position, numbers in answers.totals.items()
    }
    truth = _composition(head, groups, [outputs[place] for place in places], columns)
    if truth.outputs[number] is None:
        raise NoRule(f"output {places[number]} of forward() is not differentiable")
    row = truth.row(index, output=number)
    exact = None if row.kinks else _exact(asker, answers)
    for slot, group in enumerate(groups):
        picked = columns[group.position]
        loose = loose_bound(outputs[places[number]], basis, group.in_shape, group.comparison.dtype).max(initial=0.0)
        found = _settled(asker, answers, group, slot, row, picked, exact)
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


def _settled(
    asker: Asker,
    answers: Answers,
    group: Group,
    slot: int,
    row: Row,
    columns: Sequence[Index] | None,
    exact: ExactFormula | None,
) -> SettledRow:
    """The row of one group, judged by backward()'s own formula where that is known."""
    at, got = group.position, answers.totals[group.position]
    if exact is None:
        return SettledRow(row=row, got=got)
    found = settled_row(row, slot, got, columns, exact, answers.slots[at], was_seen=at in asker.seen_right)
    if found.is_right:
        asker.seen_right.add(at)
    group.comparison.short_of(found.short)
    return found


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
