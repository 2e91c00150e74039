"""One row of autograd's local Jacobian beside the true one, and which of its elements to look at where it is long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gradviz.check.judge import Comparison, Index, moduli
from gradviz.check.kinks import is_between
from gradviz.symbolic import Row
from gradviz.symbolic.arithmetic import to_wide

OnKink = Callable[[Index], tuple[float, float]]
"""From an input element to the smallest and largest one-sided derivative there."""
_KINKED_ELEMENTS = 64


def compare_row(
    comparison: Comparison,
    index: Index,
    got: NDArray[np.float64],
    row: Row,
    position: int,
    *,
    on_kink: OnKink | None,
    columns: Sequence[Index] | None = None,
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
        loose: errors of up to this size are put down to cancellation: unverified, but no mismatch.
        what: who gives the number, for a mismatch.
    """
    comparison.kinks |= dict.fromkeys(row.kinks)
    if got.ndim == 0 and not row.kinks and position in row.partials and () in row.partials[position]:
        exact = row.partials[position][()]
        comparison.element(index or None, float(got), exact.value, exact.bound, loose=loose, what=what)
        return
    true, bound = _as_arrays(row, position, got.shape)
    unrelated = np.isnan(got) & (true == 0)
    if unrelated.any():
        comparison.doubt("torch gives NaN for a derivative of 0: another element is undefined, and 0 times NaN is NaN")
        got = np.where(unrelated, 0.0, got)
    if row.kinks:
        true = _settled_on_kinks(comparison, got, true, bound, row.kinks, on_kink)
    sizes = moduli(got, comparison.dtype)
    if columns is None:
        comparison.elements(got, true, bound, loose=loose, what=what, place=lambda column: (*index, *column), modulus=sizes)
        return
    places = tuple(np.array(columns, dtype=np.int64).reshape(len(columns), got.ndim).T)
    picked = (got[places], true[places], bound[places])
    whole = None if sizes is None else sizes[places]
    comparison.elements(*picked, loose=loose, what=what, place=lambda place: (*index, *columns[place[0]]), modulus=whole)


def columns_to_look_at(row: NDArray[np.float64], choose: Callable[[int, int], list[int]], count: int) -> list[Index]:
    """Of a long row the elements that are not zero (some of them, if many), and `count` others."""
    filled = np.flatnonzero(row)
    flats = {*filled[choose(4 * count, len(filled))].tolist(), *choose(count, row.size)}
    return [tuple(int(item) for item in np.unravel_index(flat, row.shape)) for flat in sorted(flats)]


def _as_arrays(row: Row, position: int, shape: tuple[int, ...]) -> tuple[NDArray[np.longdouble], NDArray[np.float64]]:
    true, bound = np.zeros(shape, dtype=np.longdouble), np.zeros(shape)
    for column, exact in row.partials.get(position, {}).items():
        true[column], bound[column] = to_wide(exact.value), exact.bound
    return true, bound


def _settled_on_kinks(
    comparison: Comparison,
    got: NDArray[np.float64],
    true: NDArray[np.longdouble],
    bound: NDArray[np.float64],
    kinks: tuple[str, ...],
    on_kink: OnKink | None,
) -> NDArray[np.longdouble]:
    """The true numbers; where torch's is another one that a kink allows, torch's."""
    names = ", ".join(kinks)
    with np.errstate(all="ignore"):
        doubtful = ~(np.abs(got - true) <= bound) & np.isfinite(got)
    if not doubtful.any():
        finite = np.unique(got[np.isfinite(got)])[:3]  # of the others is told that they are undefined
        if finite.size:
            taken = ", ".join(f"{number:.4g}" for number in finite)
            comparison.note(f"on a kink ({names}), where torch takes {taken}", "kink")
        return true
    settled = true.copy()
    for flat in np.flatnonzero(doubtful)[:_KINKED_ELEMENTS]:
        column = tuple(int(item) for item in np.unravel_index(int(flat), got.shape))
        sides = None if on_kink is None else on_kink(column)
        if sides is None or is_between(float(got[column]), sides):
            settled[column] = got[column]
            comparison.on_kink(None, float(got[column]), kinks, sides)
    return settled
