"""Kinks: where a derivative does not exist, torch may take any number between the one-sided ones.

The one-sided derivatives are the true derivatives a little to the left and to the right of the input element in question,
and as far from it as rounding in its dtype may have moved where the kink lies: 0.4 is another number in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.check.arrays import Index, as_array, widened
from gradviz.check.judge import Comparison
from gradviz.check.parts import joined, parts_of
from gradviz.opcall import OpCall
from gradviz.rerun import with_tensors
from gradviz.symbolic import NoRule, Reference, WideValues, reference, unit_roundoff
from gradviz.symbolic.rounding import smallest

STEP = 2.0**-40
SLACK = 2.0**-20
_ROUNDINGS = 4
_STEEP = 2.0**-6
INFINITE = "undefined: torch gives {got} on a kink ({names}): rounding decides on which side of it a number lies"
NO_SIDES = "on a kink ({names}), where torch takes {got}: there are no one-sided derivatives beside infinity"


def kinked_elements(
    call: OpCall,
    position: int,
    got: NDArray[np.float64],
    true: WideValues,
    comparison: Comparison,
) -> tuple[NDArray[np.longdouble], NDArray[np.float64]]:
    """The true partials of an elementwise call and their bounds; on kinks torch's own number where it is allowed."""
    kink = true.kink
    if not true.kinks:
        return true.value, true.bound
    comparison.kinks |= dict.fromkeys(true.kinks)
    names = ", ".join(true.kinks)
    taken = np.unique(got[kink & np.isfinite(got)]) + 0.0  # 0 for −0; of the others is told that they are undefined
    if taken.size:
        comparison.note(f"on a kink ({names}) at {int(kink.sum())} of {kink.size}: torch takes {_listed(taken)}", "kink")
    with np.errstate(all="ignore"):
        doubtful = kink & ~(np.abs(true.value - got) <= true.bound)
    if not doubtful.any():
        return true.value, true.bound
    dtype = list(call.tensor_arguments())[position].tensor.dtype
    sides = _sides(lambda step: _shifted(call, position, step).pointwise_partial(position).value, dtype)
    low, high = np.fmin.reduce(sides), np.fmax.reduce(sides)
    slack = max(SLACK, 2 * _ROUNDINGS * unit_roundoff(dtype)) * np.maximum(np.abs(low), np.abs(high))
    allowed = doubtful & (got >= low - slack) & (got <= high + slack)
    entered = as_array(list(call.tensor_arguments())[position].tensor)
    steep = doubtful & np.isinf(got) & np.isfinite(true.value) & np.isfinite(low) & np.isfinite(high)
    if steep.any():
        comparison.doubt(INFINITE.format(names=names, got=f"{got[steep][0]:g}"), "undefined")
    alone = doubtful & np.isfinite(got) & ~np.isfinite(np.broadcast_to(entered, got.shape))
    if alone.any():
        comparison.doubt(NO_SIDES.format(names=names, got=f"{got[alone][0]:.4g}"), "undefined")
    return np.where(allowed | alone | steep, got.astype(np.longdouble), true.value), true.bound


def jumped_values(
    call: OpCall, got: NDArray[np.float64], true: WideValues, comparison: Comparison
) -> NDArray[np.longdouble]:
    """The true values of an elementwise call; torch's own where rounding may have taken it to the other side of a jump."""
    with np.errstate(all="ignore"):
        doubtful = ~(np.abs(true.value - got) <= true.bound) & np.isfinite(got)
    if not doubtful.any():
        return true.value
    sides = [
        _shifted(call, argument.position, step).pointwise_value().value
        for argument in call.tensor_arguments()
        if argument.tensor.is_floating_point()
        for step in steps_beside(argument.tensor.dtype)
    ]
    low, high = np.fmin.reduce(sides), np.fmax.reduce(sides)
    allowed = doubtful & (got >= low - true.bound) & (got <= high + true.bound)
    if allowed.any():
        where = f"{int(allowed.sum())} of {got.size}"
        comparison.note(f"at a jump within rounding at {where}: torch takes one of its sides", "kink")
    return np.where(allowed, got.astype(np.longdouble), true.value)


def element_between(call: OpCall, position: int, element: Index, place: int, index: Index) -> tuple[float, float]:
    """The smallest and largest one-sided derivative of an output element with respect to one element on a kink.

    NaN where there are none: beside an infinite number, or where the call beside has no rule.
    """
    tensor = list(call.tensor_arguments())[position].tensor
    if not math.isfinite(parts_of(tensor)[element]):
        return math.nan, math.nan

    def beside(step: float) -> np.longdouble:
        shifted = _shifted(call, position, step, element)
        return np.longdouble(float(shifted.row(index, output=place).partial(position, element).value))

    try:
        sides = [float(side) for side in _sides(beside, tensor.dtype)]
    except NoRule:
        return math.nan, math.nan
    return min(sides), max(sides)


def _sides(beside: Callable[[float], Any], dtype: torch.dtype) -> list[Any]:
    """The derivatives to both sides, each as far off as it may have moved on the way there where it is steep."""
    sides = []
    with np.errstate(all="ignore"):
        for step in steps_beside(dtype):
            near, further = beside(step), beside(2 * step)
            moved = np.abs(further - near)
            way = np.where(moved <= _STEEP * np.abs(near), 2 * moved, np.longdouble(0))  # else it jumped on the way
            sides += [near - way, near + way]
    return sides


def is_between(got: float, sides: tuple[float, float], unit: float) -> bool:
    """Whether torch may take this number: it lies between the one-sided derivatives, which were taken a little aside.

    `unit`: u of the dtype that torch's number is rounded to.
    """
    slack = max(SLACK, 2 * _ROUNDINGS * unit) * max(map(abs, sides))
    return sides[0] - slack <= got <= sides[1] + slack


def steps_beside(dtype: torch.dtype) -> list[float]:
    """How far to look to either side, relative to the number there."""
    wide = _ROUNDINGS * unit_roundoff(dtype)
    return [-STEP, STEP] if wide <= STEP else [-wide, -STEP, STEP, wide]


def _shifted(call: OpCall, position: int, by: float, element: Index | None = None) -> Reference:
    """The truth about the call a little beside its input, at one element or at all of them."""
    tensors = [argument.tensor for argument in call.tensor_arguments()]
    moved = parts_of(widened(tensors[position])).clone(memory_format=torch.contiguous_format)
    least = smallest(tensors[position].dtype)  # a bound such as clamp's may have been rounded by as much
    step = torch.clamp(abs(by) * torch.clamp(moved.abs(), min=STEP), min=least) * math.copysign(1.0, by)
    if element is None:
        moved += step
    else:
        moved[element] += step[element]
    return reference(with_tensors(call, {position: joined(moved, tensors[position].dtype)}))


def _listed(numbers: NDArray[np.float64]) -> str:
    shown = ", ".join(f"{number:g}" for number in numbers[:3])
    return f"{shown}, ..." if len(numbers) > 3 else shown
