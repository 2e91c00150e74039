"""Pointwise calls and data movements on all elements at once, in a wide float type, with bounds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.symbolic.arithmetic import EXACT, WIDE_UNIT, to_wide
from gradviz.symbolic.arrays import exact_array
from gradviz.symbolic.evaluate import Pointwise
from gradviz.symbolic.moved import Movement
from gradviz.symbolic.registry import NoRule
from gradviz.symbolic.rounding import SAFETY, all_rounded, exactly_held, smallest, spread, unit_roundoff

EXACT_UP_TO = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WideValues:
    """True numbers for many elements.

    Attributes:
        value: in numpy longdouble.
        bound: absolute, how far torch's numbers may be from them by rounding alone (the wide type's own included).
        kinks: name -> where the inputs lie on that kink; only kinks that occur.
    """

    value: NDArray[np.longdouble]
    bound: NDArray[np.float64]
    kinks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    @property
    def kink(self) -> NDArray[np.bool_]:
        """Where there is any kink."""
        found = np.zeros(self.value.shape, dtype=np.bool_)
        for mask in self.kinks.values():
            found = found | mask
        return found


def pointwise_value(pointwise: Pointwise, dtype: torch.dtype, elements: Collection[int] | None = None) -> WideValues:
    """The forward values, in the broadcast shape; of `elements` (flat indices) only, as a vector, when given."""
    arrays = _arrays(pointwise, elements)
    _, error = pointwise.function.value_rounding(_bounded(pointwise, arrays))
    value = _evaluated(arrays, pointwise.function.exact_value, pointwise.function.wide_value, elements)
    return WideValues(value=value, bound=_bound(value, error, dtype) + _relative(pointwise.coarse_value, value))


def pointwise_partial(
    pointwise: Pointwise, position: int, dtype: torch.dtype, elements: Collection[int] | None = None
) -> WideValues:
    """d out[i] / d in[i] for every output element, in the broadcast shape.

    Up to `EXACT_UP_TO` elements are computed to 50 digits and then rounded to the wide type; more are computed in it.

    Args:
        pointwise: the call.
        position: the edge key of the argument.
        dtype: the dtype that the bound is for.
        elements: flat indices into the broadcast output to look at more closely, to 50 digits; the result is a vector.
    """
    place = _place(pointwise, position)
    function = pointwise.function
    arrays = _arrays(pointwise, elements)
    bounded = _bounded(pointwise, arrays)
    _, error = function.partial_rounding(place, bounded)
    value = _evaluated(
        arrays,
        lambda arguments: function.exact_partial(place, arguments),
        lambda arguments: function.wide_partial(place, arguments),
        elements,
    )
    masks = function.kink_masks(bounded, unit_roundoff(dtype))
    kinks = {name: np.broadcast_to(mask, value.shape) for name, mask in masks.items() if np.any(mask)}
    bound = _bound(value, error, dtype) + _relative(pointwise.coarse, value)
    return WideValues(value=value, bound=bound, kinks=kinks)


def pointwise_vjp(pointwise: Pointwise, position: int, cotangent: Tensor | None, dtype: torch.dtype) -> WideValues:
    """cotangent * partial, summed over what was broadcast: the whole VJP in the shape of the argument."""
    operand = pointwise.operands[_place(pointwise, position)]
    assert isinstance(operand, Tensor)
    shape = tuple(operand.shape)
    if cotangent is None:
        return WideValues(value=np.zeros(shape, dtype=np.longdouble), bound=np.zeros(shape))
    partial = pointwise_partial(pointwise, position, dtype)
    weight = exact_array(cotangent).astype(np.longdouble)
    with np.errstate(all="ignore"):
        terms = np.broadcast_to(partial.value * weight, np.broadcast_shapes(partial.value.shape, weight.shape))
        size = all_rounded(terms)
        unit = unit_roundoff(dtype) + WIDE_UNIT
        moved = np.broadcast_to(partial.bound * np.abs(weight).astype(np.float64), terms.shape)
        added = max(terms.size // max(operand.numel(), 1), 1)
        if added > 1:
            all_rounded(_sum_to(np.abs(terms), shape))  # in some order the sum may overflow, though all of it does not
        bound = _sum_to(moved + SAFETY * unit * (1 + spread(added)) * size, shape)
        kinks = {name: _sum_to(mask.astype(np.float64), shape) > 0 for name, mask in partial.kinks.items()}
        return WideValues(value=_sum_to(terms, shape), bound=bound, kinks=kinks)


def movement_vjp(movement: Movement, position: int, cotangents: Sequence[Tensor | None], dtype: torch.dtype) -> WideValues:
    """Each input element's cotangent: the sum of those of the output elements that it was moved to."""
    if position not in movement.moved:
        raise NoRule(f"argument {position} is not among the moved ones, {sorted(movement.moved)}")
    shape = movement.shapes[position]
    numel = int(np.prod(shape, dtype=np.int64))
    unit = unit_roundoff(dtype) + WIDE_UNIT
    arriving = [(output, cotangent) for output, cotangent in enumerate(cotangents) if cotangent is not None]
    moved_back = movement.moved_back(*arriving[0]) if len(arriving) == 1 else None
    if moved_back is not None:
        found: Any = exact_array(moved_back).astype(np.float64)  # exact, and half as large as longdouble
        return WideValues(value=found, bound=SAFETY * unit * np.abs(found))
    value = np.zeros(numel, dtype=np.longdouble)
    size = np.zeros(numel)
    count = np.zeros(numel, dtype=np.int64)
    for output, cotangent in arriving:
        places = movement.codes(output).reshape(-1) - 1 - movement.moved[position]
        here = (places >= 0) & (places < numel) & (movement.codes(output).reshape(-1) > 0)
        weights = exact_array(cotangent).reshape(-1).astype(np.longdouble)[here]
        np.add.at(value, places[here], weights)
        np.add.at(size, places[here], np.abs(weights).astype(np.float64))
        np.add.at(count, places[here], 1)
    bound = SAFETY * unit * size * np.where(count < 2, 1.0, 2.0 + np.sqrt(count))
    return WideValues(value=value.reshape(shape), bound=bound.reshape(shape))


def _place(pointwise: Pointwise, position: int) -> int:
    if position not in pointwise.positions:
        accepted = [known for known in pointwise.positions if known is not None]
        raise NoRule(f"argument {position} of {pointwise.function.name} is not one of its operands, {accepted}")
    return pointwise.positions.index(position)


def _arrays(pointwise: Pointwise, elements: Collection[int] | None) -> list[Any]:
    """The operands as exact arrays (float64 or integers), broadcast; numbers as they are."""
    arrays: list[Any] = [exact_array(operand) if isinstance(operand, Tensor) else operand for operand in pointwise.operands]
    shape = np.broadcast_shapes(*(array.shape for array in arrays if isinstance(array, np.ndarray)))
    arrays = [np.broadcast_to(array, shape) if isinstance(array, np.ndarray) else array for array in arrays]
    if elements is None:
        return arrays
    places = np.unravel_index(np.fromiter(elements, dtype=np.int64), shape) if shape else (np.zeros(1, dtype=np.int64),)
    return [(array[places] if shape else array.reshape(1)) if isinstance(array, np.ndarray) else array for array in arrays]


def _bounded(pointwise: Pointwise, arrays: list[Any]) -> list[tuple[Any, Any]]:
    pairs: list[tuple[Any, Any]] = []
    for operand, array in zip(pointwise.operands, arrays, strict=True):
        if isinstance(operand, Tensor):
            pairs.append((array.astype(np.float64), np.float64(0)))
        else:
            assert not isinstance(operand, complex), "complex calls are looked at element by element"
            value = np.float64(operand)
            pairs.append((value, np.float64(0 if exactly_held(float(value)) else all_rounded(value))))
    return pairs


def _evaluated(arrays: list[Any], exact: Any, wide: Any, elements: Collection[int] | None) -> NDArray[np.longdouble]:
    shape = np.broadcast_shapes(*(array.shape for array in arrays if isinstance(array, np.ndarray)))
    size = int(np.prod(shape, dtype=np.int64))
    if elements is None and size > EXACT_UP_TO:
        arguments = [
            array.astype(np.longdouble) if isinstance(array, np.ndarray) else np.longdouble(array) for array in arrays
        ]
        return np.broadcast_to(np.asarray(wide(arguments), dtype=np.longdouble), shape)
    columns = [array.reshape(-1).tolist() if isinstance(array, np.ndarray) else [array] * size for array in arrays]
    values = [to_wide(exact([EXACT.number(item) for item in items])) for items in zip(*columns, strict=True)]
    return np.array(values, dtype=np.longdouble).reshape(shape)


def _bound(value: NDArray[np.longdouble], error: Any, dtype: torch.dtype) -> NDArray[np.float64]:
    with np.errstate(all="ignore"):
        size = np.abs(value).astype(np.float64) + error
        bound: NDArray[np.float64] = SAFETY * ((unit_roundoff(dtype) + WIDE_UNIT) * size + smallest(dtype))
    return np.broadcast_to(bound, value.shape)


def _relative(coarse: float, value: NDArray[np.longdouble]) -> Any:
    return coarse * np.abs(value).astype(np.float64) if coarse else 0.0


def _sum_to(array: Any, shape: tuple[int, ...]) -> Any:
    """The array summed over the dims along which `shape` was broadcast to it."""
    extra = array.ndim - len(shape)
    result = array.sum(axis=tuple(range(extra))) if extra else array
    stretched = tuple(dim for dim, size in enumerate(shape) if size == 1 and result.shape[dim] != 1)
    return (result.sum(axis=stretched, keepdims=True) if stretched else result).reshape(shape)
