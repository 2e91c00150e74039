"""One row of autograd's local Jacobian beside the true one, and which of its elements to look at where it is long."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradviz.check.arrays import Index, is_good, moduli
from gradviz.check.judge import Comparison
from gradviz.check.kinks import INFINITE, NO_SIDES, is_between
from gradviz.symbolic import Exact, Row, unit_roundoff
from gradviz.symbolic.arithmetic import EXACT, to_wide

OnKink = Callable[[Index], tuple[float, float]]
"""From an input element to the smallest and largest one-sided derivative there."""
OnTies = Callable[[], Mapping[Index, tuple[float, float]]]
"""The smallest and largest derivative of each input element among those that tie, whichever of them is taken."""
_KINKED_ELEMENTS = 64
_JUMP, _ROUNDINGS = 0.5, 64
_FINE = 2.0**-20
_MANY = f"on a kink ({{names}}) at more than {_KINKED_ELEMENTS} elements of a row, of which no more are looked at one by one"
_BESIDE = "torch gives NaN for a derivative of 0: another element is undefined, and 0 times NaN is NaN"
_ZERO = Exact(value=EXACT.number(0), bound=0.0)


def compare_row(
    comparison: Comparison,
    index: Index,
    got: NDArray[np.float64],
    row: Row,
    position: int,
    *,
    on_kink: OnKink | None,
    columns: Sequence[Index] | None,
    on_ties: OnTies | None = None,
    at_edges: str = "",
    loose: float = 0.0,
    what: str = "torch",
) -> None:
    """Compares a row.

    Args:
        comparison: where to.
        index: the output element.
        got: autograd's row, shaped like the input.
        row: the true one.
        position: the edge key in `row`.
        on_kink: the range that is right where the inputs lie on a kink; None leaves elements there to another comparison.
        columns: the only elements to compare; None for all.
        on_ties: what else is right, where elements tie of which the op takes one.
        at_edges: the name of kinks that the row does not tell: elements that differ are looked at as if they lay on such.
        loose: errors of up to this size are put down to cancellation: unverified, but no mismatch.
        what: who gives the number, for a mismatch.
    """
    comparison.kinks |= dict.fromkeys(row.kinks)
    if got.ndim == 0 and not row.kinks and position in row.partials and () in row.partials[position]:
        exact = row.partials[position][()]
        comparison.element(index or None, float(got), exact.value, exact.bound, loose=loose, what=what)
        return
    whole = moduli(got, comparison.dtype)
    if columns is None:
        true, bound = _as_arrays(row, position, got.shape)
    else:
        places = tuple(np.array(columns, dtype=np.int64).reshape(len(columns), got.ndim).T)
        got, whole = got[places].astype(np.float64), None if whole is None else whole[places]
        true, bound = _as_vectors(row, position, columns)

    def column_at(place: Index) -> Index:
        return place if columns is None else columns[place[0]]

    unrelated = np.isnan(got) & (true == 0)
    if unrelated.any():
        comparison.doubt_beside(_BESIDE)
        got = np.where(unrelated, 0.0, got)
    if at_edges:
        bound = _unblurred(true, bound, unit_roundoff(comparison.dtype))
    kinks = (at_edges,) if at_edges and not is_good(got, true, bound) else row.kinks
    if kinks:
        settled = _settled_on_kinks(comparison, got, true, bound, kinks, on_kink, on_ties, column_at)
        true, bound = settled, np.where(settled == true, bound, 0.0)
    comparison.elements(
        got, true, bound, loose=loose, what=what, place=lambda place: (*index, *column_at(place)), modulus=whole
    )


def _unblurred(true: NDArray[np.longdouble], bound: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """The bounds, without those that hold the whole jump of a step function: what lies beyond is looked at as on a kink.

    In half precision they stay: what cubic weights lose by rounding there cannot be told from a jump.
    """
    if unit > _FINE:
        return bound
    size = float(np.abs(true).max(initial=0.0, where=np.isfinite(true)))
    close = _ROUNDINGS * unit * size
    return np.where(bound > max(close, _JUMP * size), close, bound)


def columns_to_look_at(row: NDArray[Any], choose: Callable[[int, int], list[int]], count: int) -> list[Index]:
    """Of a long row the elements that are not zero (some of them, if many), and `count` others."""
    order = sorted(range(row.ndim), key=lambda dim: -row.strides[dim])
    in_memory = row.transpose(order)  # what a transposed matrix holds is not copied to be looked through
    filled = np.flatnonzero(in_memory)
    flats = {*filled[choose(4 * count, len(filled))].tolist(), *choose(count, row.size)}
    places = np.unravel_index(np.array(sorted(flats), dtype=np.int64), in_memory.shape)
    back = np.argsort(order)
    return sorted(zip(*(places[dim].tolist() for dim in back), strict=True))


def _as_arrays(row: Row, position: int, shape: tuple[int, ...]) -> tuple[NDArray[np.longdouble], NDArray[np.float64]]:
    true, bound = np.zeros(shape, dtype=np.longdouble), np.zeros(shape)
    for column, exact in row.partials.get(position, {}).items():
        true[column], bound[column] = to_wide(exact.value), exact.bound
    return true, bound


def _as_vectors(row: Row, position: int, columns: Sequence[Index]) -> tuple[NDArray[np.longdouble], NDArray[np.float64]]:
    partials = row.partials.get(position, {})
    looked_at = [partials.get(column, _ZERO) for column in columns]
    true = np.array([to_wide(one.value) for one in looked_at], dtype=np.longdouble)
    return true, np.array([one.bound for one in looked_at])


def _settled_on_kinks(
    comparison: Comparison,
    got: NDArray[np.float64],
    true: NDArray[np.longdouble],
    bound: NDArray[np.float64],
    kinks: tuple[str, ...],
    on_kink: OnKink | None,
    on_ties: OnTies | None,
    column_at: Callable[[Index], Index],
) -> NDArray[np.longdouble]:
    """The true numbers; where torch's is another one that a kink allows, torch's."""
    names = ", ".join(kinks)
    with np.errstate(all="ignore"):
        doubtful = ~(np.abs(got - true) <= bound) & np.isfinite(got)
    if not doubtful.any() and not (on_kink is not None and np.isinf(got).any()):
        finite = np.unique(got[np.isfinite(got)])[:3]  # of the others is told that they are undefined
        if finite.size:
            taken = ", ".join(f"{number:.4g}" for number in finite)
            comparison.note(f"on a kink ({names}), where torch takes {taken}", "kink")
        return true
    if on_kink is None:
        taken = ", ".join(f"{number:.4g}" for number in np.unique(got[doubtful])[:3])
        comparison.note(f"on a kink ({names}), where torch takes {taken}", "kink")
        return np.where(doubtful, got, true)
    settled = true.copy()
    steep = np.isinf(got) & np.isfinite(true)
    if steep.any():
        comparison.doubt(INFINITE.format(names=names, got=f"{got[steep][0]:g}"), "undefined")
        settled[steep] = got[steep]
    ranges = {} if on_ties is None else on_ties()
    count = -1
    for flat in np.flatnonzero(doubtful):
        place = tuple(int(item) for item in np.unravel_index(int(flat), got.shape))
        any_of = ranges.get(column_at(place))
        if any_of is not None and is_between(float(got[place]), any_of, unit_roundoff(comparison.dtype)):
            settled[place] = got[place]
            comparison.on_tie(float(got[place]), kinks, any_of)
            continue
        count += 1
        if count < _KINKED_ELEMENTS:
            sides = on_kink(column_at(place))
            if any(map(math.isnan, sides)):
                settled[place] = got[place]
                comparison.doubt(NO_SIDES.format(names=names, got=f"{float(got[place]):.4g}"), "undefined")
            elif is_between(float(got[place]), sides, unit_roundoff(comparison.dtype)):
                settled[place] = got[place]
                comparison.on_kink(None, float(got[place]), kinks, sides)
        else:
            settled[place] = got[place]
            comparison.doubt(_MANY.format(names=names), "kink")
    return settled
