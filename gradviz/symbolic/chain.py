"""The steps of a recurrence as arrays: all elements of each step's small tensors, made in order and kept.

A row of a recurrence depends on every step before it. One by one to 50 digits (`scalar.py`) that takes seconds; and read
as arrays from the last step back (`many.py`), a state that each step reads several times would be made over and over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gradviz.symbolic.indexing import places_of
from gradviz.symbolic.many import Adjoint, Lead, Many, Places, Read, taken
from gradviz.symbolic.moved import FILL, Movement
from gradviz.symbolic.tensor import SymbolicTensor


class Chain:
    """Tensors in the order in which they are made of each other."""

    def __init__(self) -> None:
        self._reads: list[tuple[Read, tuple[int, ...]]] = []
        self._made: list[Many] = []

    def keep(self, tensor: SymbolicTensor) -> None:
        """Lets all elements of a tensor be made once, with those before it: no recursion gets deep."""
        if tensor.many is not None:
            self._reads.append((tensor.many, tensor.shape))
            tensor.many = partial(self._read, len(self._reads) - 1)

    def _read(self, step: int, places: Places, count: int) -> Many:
        while len(self._made) <= step:
            read, shape = self._reads[len(self._made)]
            flats = np.arange(math.prod(shape))
            self._made.append(read(places_of(flats, shape), len(flats)))
        return taken(self._made[step], _flats(places, self._reads[step][1], count))


def moved_at_once(movement: Movement, output: int, tensors: Mapping[int, SymbolicTensor]) -> Read | None:
    """Reads many elements of a data movement's output; None where those of what is moved are not to be had at once."""
    if any(tensors[position].many is None for position in movement.moved):
        return None

    def read(places: Places, count: int) -> Many:
        codes = movement.codes(output).reshape(-1)[_flats(places, movement.codes(output).shape, count)]
        value = np.where(codes == FILL, np.longdouble(movement.fill.real), np.longdouble(0))
        error, carrying = np.zeros(count), np.zeros(count, dtype=np.bool_)
        leads: list[tuple[Many, Lead]] = []
        for position, first in movement.moved.items():
            shape, many = movement.shapes[position], tensors[position].many
            here = (codes > first) & (codes <= first + math.prod(shape))
            assert many is not None
            part = many(places_of(codes[here] - 1 - first, shape), int(here.sum()))
            value[here], error[here], carrying[here] = part.value, part.error, part.carrying
            leads.append((part, partial(_picked, here)))
        return Many(value=value, error=error, carrying=carrying, leads=tuple(leads))

    return read


def _picked(here: NDArray[np.bool_], adjoint: Adjoint) -> Adjoint:
    return adjoint[0][here], adjoint[1][here]


def _flats(places: Places, shape: tuple[int, ...], count: int) -> NDArray[np.int64]:
    return np.ravel_multi_index(places, shape) if places else np.zeros(count, dtype=np.int64)
