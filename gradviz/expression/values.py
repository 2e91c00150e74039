"""What a user gives as the value of a variable -> a tensor that can become a leaf."""

from __future__ import annotations

import math
import numbers
from typing import Any

import torch
from torch import Tensor

from gradviz.errors import InputError
from gradviz.expression.limits import MAX_LIST_DEPTH

_ACCEPTED = "accepted are numbers, nested lists of numbers, numpy arrays and torch tensors"


def to_tensor(value: object, name: str) -> Tensor:
    """The tensor that a variable called `name` starts from; `requires_grad` is left to the caller.

    Numbers and nested lists or tuples of numbers become float64. numpy arrays are copied and keep their dtype,
    except that integers become float64. A torch tensor is returned as it is. NaN and infinity are accepted in
    arrays and tensors, where they are data to be looked into, and refused where they are typed in.

    Raises:
        InputError: anything else: bools, strings, complex numbers, ragged or empty lists.

    >>> to_tensor([[1, 2], [3, 4.5]], "A")
    tensor([[1.0000, 2.0000],
            [3.0000, 4.5000]], dtype=torch.float64)
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (list, tuple)):
        return torch.tensor(_nested_floats(value, name, ()), dtype=torch.float64)
    if hasattr(value, "__array_interface__"):
        return _from_numpy(value, name)
    return torch.tensor(_as_float(value, name, ()), dtype=torch.float64)


def _as_float(value: object, name: str, place: tuple[int, ...]) -> float:
    where = name + "".join(f"[{index}]" for index in place)
    if isinstance(value, Tensor) and value.ndim == 0 and value.dtype != torch.bool and not value.requires_grad:
        value = value.item()
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"the value of {where} is {_describe(value)}; {_ACCEPTED}")
    try:
        number = float(value)
    except OverflowError as problem:
        raise InputError(f"the value of {where} is too large for a float; accepted are sizes up to 1.8e308") from problem
    if not math.isfinite(number):
        raise InputError(
            f"the value of {where} is {number}; accepted are finite numbers, or a tensor to look into a NaN or infinity"
        )
    return number


def _nested_floats(values: list[Any] | tuple[Any, ...], name: str, place: tuple[int, ...]) -> list[Any]:
    where = name + "".join(f"[{index}]" for index in place)
    if not values:
        raise InputError(f"the value of {where} is an empty list; accepted are lists of at least one number")
    if len(place) >= MAX_LIST_DEPTH:
        raise InputError(
            f"the value of {name} nests lists more than {MAX_LIST_DEPTH} deep; accepted are at most {MAX_LIST_DEPTH}"
        )
    nested = [
        _nested_floats(item, name, (*place, index))
        if isinstance(item, (list, tuple))
        else _as_float(item, name, (*place, index))
        for index, item in enumerate(values)
    ]
    shapes = [_shape(item) for item in nested]
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise InputError(
                f"the list {where} is ragged: {where}[0] has shape {shapes[0]}, {where}[{index}] has shape {shape};"
                " accepted are rows of equal length"
            )
    return nested


def _shape(nested: object) -> tuple[int, ...]:
    shape: tuple[int, ...] = ()
    while isinstance(nested, list):
        shape, nested = (*shape, len(nested)), nested[0]
    return shape


def _from_numpy(value: Any, name: str) -> Tensor:
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind in "iu":
        array = array.astype(np.float64)
    if array.dtype.kind not in "fc":
        raise InputError(
            f"the value of {name} is an array of {array.dtype}; accepted are floats, complex numbers and integers"
        )
    if array.size == 0:
        raise InputError(f"the value of {name} is an empty array of shape {array.shape}; accepted is at least one element")
    copied = array.astype(array.dtype.newbyteorder("="), order="C")  # later changes of the user's array do not get here
    try:
        return torch.from_numpy(copied)
    except TypeError as problem:
        raise InputError(
            f"the value of {name} is an array of dtype {array.dtype}, which torch does not have; convert it to float64"
        ) from problem


def _describe(value: object) -> str:
    shown = repr(value)
    return f"{shown if len(shown) <= 40 else shown[:40] + '…'} ({type(value).__name__})"
