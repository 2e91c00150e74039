"""The forward value of each op node against its symbolic forward at the exact inputs that the call had."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import as_array, is_good, moduli
from gradviz.check.custom import AT_ONCE, ONE_BY_ONE, check_value_by_forward
from gradviz.check.heads import HeadUnderCheck
from gradviz.check.judge import Comparison
from gradviz.check.kinks import jumped_values
from gradviz.check.local import LONG_ROW, ROWS_UP_TO, TOO_LONG, Plan
from gradviz.check.parts import parts_of, parts_shape
from gradviz.check.places import EDGE, PlacesBeside, beside_of
from gradviz.opcall import OpCall
from gradviz.symbolic import Allowance, Elements, NoRule, Reference, TooMuchWork, compose, reference

_ALL_UP_TO = 64
_CALLS_TO_COMPOSE = 400
_NO_GRADIENT = "output {place} has no gradient: its value is not computed symbolically"
_TOO_MANY = "an element of it is made of more numbers than are followed one by one"


def check_value(head: HeadUnderCheck, comparison: Comparison, plan: Plan) -> None:
    """Compares the value of `head`: all elements of an elementwise call, else of a small value, else a sample."""
    outputs = {place: value for place, value in head.outputs.items() if value is not None}
    if not outputs:
        comparison.doubt(head.attributes["value_missing"] or "its value is not a floating-point number")
        return
    try:
        if head.left_torch:
            check_value_by_forward(head, comparison)
            return
        if head.call is None:
            _check_composed(head, outputs, comparison, plan)
            return
        truth = _truth(head, head.call, outputs)
        for place, value in outputs.items():
            comparison.total += parts_of(value).numel()
            if value.numel() and truth.outputs[place] is None:
                comparison.doubt(_NO_GRADIENT.format(place=place))
            elif truth.method == "pointwise" and (value.numel() > ROWS_UP_TO or _is_off(truth, place, value)):
                wide, got = truth.pointwise_value(), as_array(value)
                comparison.overflowed |= truth.overflowed
                comparison.elements(got, jumped_values(head.call, got, wide, comparison), wide.bound)
                comparison.checked += value.numel()
            else:
                _compare_samples(truth, place, value, _chosen(value, plan), comparison, beside_of(head.call))
            comparison.method = "symbolic"
    except NoRule as missing:
        comparison.doubt(missing.reason)


def _check_composed(head: HeadUnderCheck, outputs: dict[int, Tensor], comparison: Comparison, plan: Plan) -> None:
    """What several calls made: to 50 digits as long as that is made of few numbers, then as arrays of wide floats.

    Raises:
        NoRule: there is no truth about them, or it is made of too many numbers.
    """
    if not head.inner_calls:
        raise NoRule(head.unknown_call)
    if len(head.inner_calls) > _CALLS_TO_COMPOSE:
        raise NoRule(f"forward() ran {len(head.inner_calls)} ops, more than {_CALLS_TO_COMPOSE}")
    snapshots = [snapshot for snapshot in head.attributes["inner_inputs"] if snapshot is not None]
    made = [head.made_inside()[place] for place in outputs]
    one_by_one = Allowance(ONE_BY_ONE)
    for number, (place, value) in enumerate(outputs.items()):
        comparison.total += parts_of(value).numel()
        flats = _chosen(value, plan)
        try:
            with one_by_one.entered():
                truth = compose(head.inner_calls, snapshots, made)
                if value.numel() and truth.outputs[number] is None:
                    comparison.doubt(_NO_GRADIENT.format(place=place))
                else:
                    _compare_samples(truth, number, value, flats, comparison)
        except TooMuchWork:
            truth = compose(head.inner_calls, snapshots, made, at_once=True)
            _compare_at_once(truth, number, as_array(value), flats, comparison)
        comparison.method = "symbolic"


def _chosen(value: Tensor, plan: Plan) -> list[int]:
    """The elements of a value that are looked at one by one."""
    numel = math.prod(parts_shape(value))
    return plan.choose(numel if numel <= _ALL_UP_TO else plan.samples, numel)


def _is_off(truth: Reference, place: int, value: Tensor) -> bool:
    """Whether one of few values is not the true one: it may lie at a jump, which is looked at in arrays."""
    got = as_array(value)
    truths = [(got[index], truth.value(index, output=place)) for index in np.ndindex(*got.shape)]
    return any(math.isfinite(number) and not abs(number - exact.value) <= exact.bound for number, exact in truths)


def _truth(head: HeadUnderCheck, call: OpCall, outputs: dict[int, Tensor]) -> Reference:
    largest = max((argument.tensor.numel() for argument in call.tensor_arguments()), default=0)
    if largest > TOO_LONG * max(max(value.numel() for value in outputs.values()), 1):
        raise NoRule(f"one element is made of {largest} numbers, more than are added up at 50 digits")
    return reference(call, chosen={}) if largest > LONG_ROW else head.truth()  # plain numbers go all at once


def _compare_samples(
    truth: Reference,
    output: int,
    value: Tensor,
    flats: Sequence[int],
    comparison: Comparison,
    beside: PlacesBeside | None = None,
) -> None:
    shape = parts_shape(value)
    got = as_array(value)
    if math.prod(shape) > _ALL_UP_TO and _agree_at_once(truth, output, got, flats, comparison):
        return
    sizes = moduli(got, value.dtype)
    for flat in flats:
        index = tuple(int(item) for item in np.unravel_index(flat, shape))
        exact = truth.value(index, output=output)
        comparison.overflowed |= truth.overflowed
        is_off = truth.method == "composed" and abs(got[index] - exact.value) > exact.bound
        if is_off and (kinks := truth.row(index, output=output).kinks):
            comparison.doubt(f"rounding decides on which side of a jump it lies ({', '.join(kinks)})", "kink")
            continue
        if beside is not None and abs(got[index] - exact.value) > exact.bound:
            low, high = beside.values(output, index)
            if low - exact.bound <= got[index] <= high + exact.bound:
                comparison.note(f"on a kink ({EDGE}): torch reads what lies to one side of it", "kink")
                continue
        comparison.element(
            index or None,
            float(got[index]),
            exact.value,
            exact.bound,
            modulus=float(sizes[index]) if sizes is not None else 0.0,
        )
    comparison.checked += len(flats)


def _agree_at_once(
    truth: Reference, output: int, got: NDArray[np.float64], flats: Sequence[int], comparison: Comparison
) -> bool:
    """Whether the samples are right, by true values that are had at once; where not, they are looked at one by one."""
    true = truth.values_at_once(flats, output=output)
    if true is None or not is_good(got.reshape(-1)[true.flats], true.value, true.bound):
        return False
    _compare(true, got, comparison)
    return True


def _compare_at_once(
    truth: Reference, output: int, got: NDArray[np.float64], flats: Sequence[int], comparison: Comparison
) -> None:
    """Compares the samples with true values that are had at once.

    Raises:
        NoRule: there are none, or they are made of too many numbers even so.
    """
    try:
        with Allowance(AT_ONCE).entered():
            true = truth.values_at_once(flats, output=output)
            if true is None:
                raise NoRule(_TOO_MANY)
            off = true.flats[~(np.abs(got.reshape(-1)[true.flats] - true.value) <= true.bound)]
            indices = [tuple(int(item) for item in np.unravel_index(flat, got.shape)) for flat in off.tolist()]
            on_jump = any(truth.row_at_once(index, output=output) is None for index in indices)
    except TooMuchWork:
        raise NoRule(_TOO_MANY) from None
    if on_jump:
        comparison.doubt("rounding may decide on which side of a jump it lies", "kink")
    else:
        _compare(true, got, comparison)


def _compare(true: Elements, got: NDArray[np.float64], comparison: Comparison) -> None:
    picked = got.reshape(-1)[true.flats]
    comparison.elements(
        picked,
        true.value,
        true.bound,
        place=lambda found: tuple(int(item) for item in np.unravel_index(true.flats[found], got.shape)),
    )
    comparison.checked += len(true.flats)
