"""Many elements of symbolic tensors at once, in wide floats, and the sweep from them back to the inputs.

A row of a large Jacobian depends on thousands of elements. One by one to 50 digits (`scalar.py`) that takes seconds; as
arrays of `numpy.longdouble` it takes milliseconds, and the wide type's own rounding is small beside what the bound grants
torch. What is kept is the same as there: each element's value and its error in units of u, and how it was made, so that
`swept` gives every partial with its error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradviz.symbolic.arithmetic import WIDE_UNIT
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.rounding import all_rounded, moved_product

WIDE_ROUNDING = 16 * WIDE_UNIT * 2.0**53
"""What an operation in wide floats costs, in units of float64's u, the finest that is checked."""

Places = tuple[NDArray[np.int64], ...]
"""An array of indices per dim, all of one length: the places of many elements."""
Adjoint = tuple[NDArray[np.longdouble], NDArray[np.float64]]
"""The partials of the result with respect to many elements, and their errors in units of u."""
Lead = Callable[[Adjoint], Adjoint]


class NotAtOnce(Exception):
    """The partials cannot be had in one sweep of arrays: an element was made one by one, or lies on a kink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """Where elements of an input lie.

    Attributes:
        position: the edge key of the input.
        flats: their flat indices.
    """

    position: int
    flats: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Many:
    """Many elements of a tensor.

    Attributes:
        value: their values.
        error: their rounding errors in units of u, as a `Scalar` has it.
        carrying: which of them carry symbols.
        leads: what they were made of, and what an adjoint of theirs contributes to that one's.
        entered: where they lie, if they are an input's.
        kinks: whether any lies on a kink, within rounding of a unit; None where there are no kinks.
    """

    value: NDArray[np.longdouble]
    error: NDArray[np.float64]
    carrying: NDArray[np.bool_]
    leads: tuple[tuple[Many, Lead], ...] = ()
    entered: Entered | None = None
    kinks: Callable[[float], bool] | None = None


Read = Callable[[Places, int], Many]
"""Gives the elements at these places, so many: without dims there are no arrays that would tell."""


def as_numbers(read: Read, places: Places, count: int) -> Many:
    """What is read, without symbols."""
    found = read(places, count)
    return Many(value=found.value, error=found.error, carrying=np.zeros(count, dtype=np.bool_))


def elsewhere(read: Read, source: Callable[[Places], Places], places: Places, count: int) -> Many:
    """What lies where the source says for these places."""
    return read(tuple(np.broadcast_to(place, (count,)) for place in source(places)), count)


def once(read: Callable[[NDArray[np.int64]], Many], shape: tuple[int, ...], places: Places, count: int) -> Many:
    """What is read by flat index, each different element once: of a mean that is broadcast there are few."""
    flats = np.ravel_multi_index(places, shape) if places else np.zeros(count, dtype=np.int64)
    different, which = np.unique(flats, return_inverse=True)
    found = read(different)
    if len(different) == count and np.array_equal(which, np.arange(count)):
        return found
    return taken(found, which)


def taken(many: Many, which: NDArray[np.int64]) -> Many:
    """The elements with these numbers."""

    def back(adjoint: Adjoint) -> Adjoint:
        return _added_up(adjoint, which, len(many.value))

    return Many(value=many.value[which], error=many.error[which], carrying=many.carrying[which], leads=((many, back),))


def where(many: Many, valid: NDArray[np.bool_]) -> Many:
    """The valid ones among the elements; exactly 0 in place of the others."""
    zero = np.longdouble(0)

    def back(adjoint: Adjoint) -> Adjoint:
        return np.where(valid, adjoint[0], zero), np.where(valid, adjoint[1], 0.0)

    value, error = back((many.value, many.error))
    return Many(value=value, error=error, carrying=many.carrying & valid, leads=((many, back),))


def added(left: Many, right: Many) -> Many:
    """The sums, element by element."""
    with np.errstate(all="ignore"):
        value = left.value + right.value
        error = left.error + right.error + all_rounded(value)
    leads: tuple[tuple[Many, Lead], ...] = ((left, _as_it_is), (right, _as_it_is))
    return Many(value=value, error=_kept(value, error), carrying=left.carrying | right.carrying, leads=leads)


def multiplied(left: Many, right: Many) -> Many:
    """The products, element by element."""
    with np.errstate(all="ignore"):
        value = left.value * right.value
        error = moved_product(_size(left.value), left.error, _size(right.value), right.error) + all_rounded(value)
    leads = ((left, _times(right.value, right.error)), (right, _times(left.value, left.error)))
    return Many(value=value, error=_kept(value, error), carrying=left.carrying | right.carrying, leads=leads)


def applied(function: ScalarFunction, operands: list[Many]) -> Many:
    """The function of the operands, elementwise."""
    wide = [operand.value for operand in operands]
    bounded = [(operand.value.astype(np.float64), operand.error) for operand in operands]
    value = np.asarray(function.wide_value(wide), dtype=np.longdouble)
    _, error = function.value_rounding(bounded)

    def lead(place: int) -> Lead:
        def back(adjoint: Adjoint) -> Adjoint:
            partial = np.asarray(function.wide_partial(place, wide), dtype=np.longdouble)
            _, partial_error = function.partial_rounding(place, bounded)
            return _times(partial, np.asarray(partial_error + WIDE_ROUNDING * _size(partial)))(adjoint)

        return back

    def kinks(unit: float) -> bool:
        return any(np.any(mask) for mask in function.kink_masks(bounded, unit).values())

    return Many(
        value=value,
        error=_kept(value, np.asarray(error + WIDE_ROUNDING * _size(value))),
        carrying=reduce(np.logical_or, [operand.carrying for operand in operands]),
        leads=tuple((operand, lead(place)) for place, operand in enumerate(operands)),
        kinks=kinks if function.kinks else None,
    )


def summed(many: Many, count: int) -> Many:
    """The elements in `count` groups of equal length, one after the other: the sum of each."""
    length = len(many.value) // count if count else 0
    with np.errstate(all="ignore"):
        value = many.value.reshape(count, length).sum(1)
        size = _size(many.value).reshape(count, length).sum(1)
        error = many.error.reshape(count, length).sum(1)
        terms = _counts(many.value, many.error).reshape(count, length).sum(1)
        error = error + _adding(terms, value, size) + np.where(terms > 1, WIDE_ROUNDING * size, 0.0)

    def back(adjoint: Adjoint) -> Adjoint:
        return np.repeat(adjoint[0], length), np.repeat(adjoint[1], length)

    carrying = np.logical_or.reduce(many.carrying.reshape(count, length), axis=1)
    return Many(value=value, error=_kept(value, error), carrying=carrying, leads=((many, back),))


def extreme(many: Many, count: int, *, sign: int) -> Many:
    """Of each of `count` groups the largest element, or for sign -1 the smallest; nan wins, as in torch."""
    groups = many.value.reshape(count, -1)
    missing = np.isnan(groups)
    best = np.where(missing.any(1), missing.argmax(1), np.where(missing, -np.inf, sign * groups).argmax(1))
    picked = taken(many, np.arange(count) * groups.shape[1] + best)

    def kinks(unit: float) -> bool:
        with np.errstate(invalid="ignore"):
            apart = np.abs(groups - picked.value[:, None])  # not a number where both are infinite
            within = unit * (many.error.reshape(groups.shape) + picked.error[:, None])
            ties = (groups == picked.value[:, None]) | (apart <= within)
        return bool((ties.sum(1) > 1).any() or missing.any())  # of NaN it may be any that is picked

    return Many(value=picked.value, error=picked.error, carrying=picked.carrying, leads=picked.leads, kinks=kinks)


def swept(root: Many, weights: NDArray[np.longdouble], unit: float) -> dict[int, tuple[NDArray[np.int64], Adjoint]]:
    """The partials of the weighted sum of the elements with respect to all input elements that it depends on.

    Args:
        root: the elements.
        weights: one per element, exact.
        unit: u of the dtype that kinks are looked for in.

    Returns:
        position of an input -> (flat indices, in order and each once; partials and errors in units of u).

    Raises:
        NotAtOnce: an element was made one by one, or lies on a kink.
    """
    adjoints: dict[int, Adjoint] = {id(root): (weights, np.zeros(len(weights)))}
    reached: dict[int, list[tuple[NDArray[np.int64], Adjoint]]] = {}
    with np.errstate(all="ignore"):
        for many in reversed(_in_order(root)):
            adjoint = adjoints.pop(id(many))
            if many.entered is not None:
                some = many.carrying
                found = (many.entered.flats[some], (adjoint[0][some], adjoint[1][some]))
                reached.setdefault(many.entered.position, []).append(found)
            elif not many.leads or (many.kinks is not None and many.kinks(unit)):
                raise NotAtOnce
            for operand, back in many.leads:
                if operand.carrying.any():
                    known, more = adjoints.get(id(operand)), back(adjoint)
                    adjoints[id(operand)] = more if known is None else _sum(known, more)
        return {position: _by_place(parts) for position, parts in reached.items()}


def _in_order(root: Many) -> list[Many]:
    """All that carries symbols and the root is made of, operands first."""
    done: set[int] = set()
    order: list[Many] = []
    stack = [(root, False)]
    while stack:
        many, expanded = stack.pop()
        if id(many) in done or not many.carrying.any():
            continue
        if expanded:
            done.add(id(many))
            order.append(many)
        else:
            stack.append((many, True))
            stack += [(operand, False) for operand, _ in many.leads]
    return order


def _by_place(parts: list[tuple[NDArray[np.int64], Adjoint]]) -> tuple[NDArray[np.int64], Adjoint]:
    flats = np.concatenate([flats for flats, _ in parts])
    value = np.concatenate([adjoint[0] for _, adjoint in parts])
    error = np.concatenate([adjoint[1] for _, adjoint in parts])
    different, which = np.unique(flats, return_inverse=True)
    return different, _added_up((value, error), which, len(different))


def _added_up(adjoint: Adjoint, which: NDArray[np.int64], count: int) -> Adjoint:
    """For each number below `count` the sum of the partials that `which` gives it, and its error."""
    value, error, size = np.zeros(count, dtype=np.longdouble), np.zeros(count), np.zeros(count)
    order = np.argsort(which, kind="stable")
    sorted_ = which[order]
    starts = np.flatnonzero(np.diff(sorted_, prepend=-1))
    if starts.size:
        places = sorted_[starts]
        terms = adjoint[0][order]
        value[places] = np.add.reduceat(terms, starts)
        error[places] = np.add.reduceat(adjoint[1][order], starts)
        size[places] = np.add.reduceat(_size(terms), starts)
    count_of = np.bincount(which, weights=_counts(*adjoint), minlength=count)
    return value, error + _adding(count_of, value, size)


def _counts(value: NDArray[np.longdouble], error: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which are terms of a sum: adding exact zeros, such as padding, costs nothing."""
    return np.asarray((value != 0) | (error != 0))


def _adding(terms: NDArray[Any], value: NDArray[np.longdouble], size: NDArray[np.float64]) -> NDArray[np.float64]:
    """What adding so many terms costs, as `scalar.total` has it: their sum, the sum of their absolute values."""
    spread = np.where(terms < 3, 0.0, np.minimum(terms - 1.0, 2 + np.sqrt(terms)))
    rounded = np.where(terms < 2, 0.0, all_rounded(value))
    return np.where(terms < 3, rounded, np.maximum(spread * size, rounded))


def _as_it_is(adjoint: Adjoint) -> Adjoint:
    return adjoint


def _sum(left: Adjoint, right: Adjoint) -> Adjoint:
    value = left[0] + right[0]
    return value, left[1] + right[1] + all_rounded(value)


def _times(partial: NDArray[np.longdouble], partial_error: NDArray[np.float64]) -> Lead:
    def back(adjoint: Adjoint) -> Adjoint:
        value = adjoint[0] * partial
        return value, moved_product(_size(adjoint[0]), adjoint[1], _size(partial), partial_error) + all_rounded(value)

    return back


def _size(value: NDArray[np.longdouble]) -> NDArray[np.float64]:
    return np.abs(value).astype(np.float64)


def _kept(value: NDArray[np.longdouble], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Infinite values carry no error."""
    return np.where(np.isinf(value), 0.0, error)
