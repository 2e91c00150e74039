"""Tensors as rules are given them: inputs, whose chosen elements are symbols, and tensors of plain numbers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arithmetic import EXACT
from gradviz.symbolic.arrays import exact_array, held_elements
from gradviz.symbolic.many import Entered, Many, Places
from gradviz.symbolic.scalar import Pair, Scalar, Symbol
from gradviz.symbolic.tensor import Index, SymbolicTensor


class InputTensor(SymbolicTensor):
    """An input, entered exactly: chosen elements are symbols, all others numbers.

    The parts of a complex element are two symbols: index (i, 0) is the real part of element i, (i, 1) the imaginary one.

    Attributes:
        touched: the indices that have been asked for; all other elements do not matter to what was pulled.
        held: which elements a sparse tensor holds; None for one that holds all.
    """

    __slots__ = ("_array", "_chosen", "_mask", "_name", "_position", "held")

    def __init__(self, tensor: Tensor, position: int, name: str, chosen: Collection[Index] | None) -> None:
        self._array = exact_array(tensor)
        self.held = held_elements(tensor)
        self._position = position
        self._name = name
        self._chosen = chosen
        self._mask: NDArray[np.bool_] | None = None
        super().__init__(tuple(tensor.shape), self._enter, None if self.is_complex else self._enter_many)

    @property
    def is_complex(self) -> bool:
        return bool(np.iscomplexobj(self._array))

    @property
    def touched(self) -> Collection[Index]:
        return self._memo.keys()

    def _enter(self, index: Index) -> Scalar:
        number = self._array.item(index)
        if isinstance(number, complex):
            return Pair(self._entered((*index, 0), number.real), self._entered((*index, 1), number.imag))
        return self._entered(index, number)

    def _entered(self, index: Index, number: float) -> Scalar:
        if self._chosen is not None and index not in self._chosen:
            return Scalar(EXACT.number(number), 0.0)
        return Symbol(EXACT.number(number), number, (self._position, index), self._name)

    def _enter_many(self, places: Places, count: int) -> Many:
        carrying = np.ones(count, dtype=np.bool_)
        if self._chosen is not None and self._mask is None:
            self._mask = np.zeros(self.shape, dtype=np.bool_)
            for index in self._chosen:
                self._mask[index] = True
        if self._mask is not None:
            carrying &= self._mask[places]
        flats = np.ravel_multi_index(places, self.shape) if places else np.zeros(count, dtype=np.int64)
        entered = Entered(position=self._position, flats=flats)
        return Many(value=_wide(self._array, places, count), error=np.zeros(count), carrying=carrying, entered=entered)


def from_torch(tensor: Tensor, *, position: int, name: str, chosen: Collection[Index] | None = None) -> InputTensor:
    """The tensor as an input whose elements (those in `chosen`; all for None) are symbols named `name_i_j`.

    Every float is taken exactly; inf and nan stay what they are.
    """
    return InputTensor(tensor, position, name, chosen)


class NumberTensor(SymbolicTensor):
    """A tensor of exact numbers without symbols.

    Attributes:
        array: the numbers, in a dtype that holds them exactly; an index or a mask keeps its own.
        held: which elements a sparse tensor holds; None for one that holds all.
    """

    __slots__ = ("array", "held")

    def __init__(self, array: NDArray[Any], held: NDArray[np.bool_] | None = None) -> None:
        self.array, self.held = array, held
        many = None if np.iscomplexobj(array) else self._enter_many
        super().__init__(array.shape, lambda index: sc.number(array.item(index)), many)

    def _enter_many(self, places: Places, count: int) -> Many:
        carrying = np.zeros(count, dtype=np.bool_)
        return Many(value=_wide(self.array, places, count), error=np.zeros(count), carrying=carrying)


def numbers(tensor: Tensor) -> NumberTensor:
    """The tensor as exact numbers without symbols."""
    return NumberTensor(exact_array(tensor), held_elements(tensor))


def _wide(array: NDArray[Any], places: Places, count: int) -> NDArray[np.longdouble]:
    return np.broadcast_to(array[places], (count,)).astype(np.longdouble)
