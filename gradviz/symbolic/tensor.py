"""`SymbolicTensor`: a shape and a function from index to element, pulled lazily, that rules compute with as with
numpy arrays.

Asking for one output element touches only the inputs that it depends on. Elements are `Scalar`s (see `scalar.py`):
input elements chosen as symbols are differentiated for, all others are exact numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import sympy as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.errors import CheckError
from gradviz.symbolic import scalar as sc
from gradviz.symbolic import sweep
from gradviz.symbolic.arithmetic import EXACT
from gradviz.symbolic.function import RESULT, ScalarFunction, function_of_one
from gradviz.symbolic.scalar import Pair, Scalar, Symbol

Index = tuple[int, ...]
Number = int | float | complex
_x = sp.Symbol("x", real=True)
_y = sp.Symbol("y", real=True)
QUOTIENT = ScalarFunction("divide", (_x, _y), _x / _y)
_POWER = ScalarFunction("power", (_x, _y), _x**_y)
SQRT = ScalarFunction("sqrt", (_x,), sp.sqrt(_x), written={0: 1 / (2 * RESULT)}, kinks={"square root at 0": _x})
_EXP = function_of_one("exp", sp.exp, RESULT)
_LOG = function_of_one("log", sp.log)


class SymbolicTensor:
    """A lazily indexed tensor of elements.

    Attributes:
        shape: as in torch.

    >>> x = from_torch(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), position=0, name="x")
    >>> (x @ x)[1, 0].approximate
    15.0
    >>> x.sum((1,)).expression((0,))
    x_0_0 + x_0_1
    """

    __slots__ = ("_memo", "_pull", "shape")

    def __init__(self, shape: Sequence[int], pull: Callable[[Index], Scalar]) -> None:
        self.shape = tuple(shape)
        self._pull = pull
        self._memo: dict[Index, Scalar] = {}

    def __getitem__(self, index: Index) -> Scalar:
        """The element at a full index of non-negative ints, made on first use."""
        known = self._memo.get(index)
        if known is None:
            known = self._memo[index] = self._pull(index)
        return known

    def __repr__(self) -> str:
        return f"SymbolicTensor(shape={self.shape})"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def numel(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    def indices(self) -> Iterator[Index]:
        """All indices, in row-major order."""
        return itertools.product(*map(range, self.shape))

    def expression(self, index: Index) -> sp.Expr:
        """The element as a sympy expression in the symbols of the inputs."""
        return sweep.expression(self[index])

    # Elementwise.

    def map(self, function: ScalarFunction, *others: SymbolicTensor | Number) -> SymbolicTensor:
        """The function of this tensor and the others, broadcast."""
        return elementwise(function, self, *others)

    def __add__(self, other: SymbolicTensor | Number) -> SymbolicTensor:
        return _combined(lambda a, b: sc.total([a, b]), self, other)

    def __mul__(self, other: SymbolicTensor | Number) -> SymbolicTensor:
        return _combined(lambda a, b: sc.dot([a], [b]), self, other)

    def __sub__(self, other: SymbolicTensor | Number) -> SymbolicTensor:
        return self + (other * -1)

    def __truediv__(self, other: SymbolicTensor | Number) -> SymbolicTensor:
        return elementwise(QUOTIENT, self, other)

    def __pow__(self, other: SymbolicTensor | Number) -> SymbolicTensor:
        return elementwise(_POWER, self, other)

    def __neg__(self) -> SymbolicTensor:
        return self * -1

    def __radd__(self, other: Number) -> SymbolicTensor:
        return self + other

    def __rmul__(self, other: Number) -> SymbolicTensor:
        return self * other

    def __rsub__(self, other: Number) -> SymbolicTensor:
        return self * -1 + other

    def __rtruediv__(self, other: Number) -> SymbolicTensor:
        return elementwise(QUOTIENT, constant(other), self)

    def sqrt(self) -> SymbolicTensor:
        return self.map(SQRT)

    def exp(self) -> SymbolicTensor:
        return self.map(_EXP)

    def log(self) -> SymbolicTensor:
        return self.map(_LOG)

    def square(self) -> SymbolicTensor:
        return self * self

    def squared_modulus(self) -> SymbolicTensor:
        """|x|²; of real elements their squares."""
        return SymbolicTensor(self.shape, lambda index: sc.squared_modulus(self[index]))

    def as_numbers(self) -> SymbolicTensor:
        """The same values without symbols: constants as far as derivatives go."""
        return SymbolicTensor(self.shape, lambda index: sc.as_number(self[index]))

    # Reductions; `dims` None means all of them.

    def reduce(
        self,
        combine: Callable[[list[Scalar]], Scalar],
        dims: Sequence[int] | int | None = None,
        *,
        keepdim: bool = False,
    ) -> SymbolicTensor:
        """`combine` of the elements along `dims`."""
        reduced = normalized_dims(dims, self.ndim)
        kept = [dim for dim in range(self.ndim) if dim not in reduced]
        ranges = [range(self.shape[dim]) for dim in reduced]
        shape = [1 if dim in reduced else self.shape[dim] for dim in range(self.ndim) if keepdim or dim not in reduced]

        def pull(index: Index) -> Scalar:
            full = [0] * self.ndim
            for place, dim in enumerate(kept):
                full[dim] = index[dim if keepdim else place]
            elements = []
            for inner in itertools.product(*ranges):
                for place, dim in enumerate(reduced):
                    full[dim] = inner[place]
                elements.append(self[tuple(full)])
            return combine(elements)

        return SymbolicTensor(shape, pull)

    def sum(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False) -> SymbolicTensor:
        return self.reduce(lambda terms: sc.total(terms) if terms else sc.ZERO, dims, keepdim=keepdim)

    def mean(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False) -> SymbolicTensor:
        return self.sum(dims, keepdim=keepdim) / self.count(dims)

    def prod(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False) -> SymbolicTensor:
        return self.reduce(lambda factors: sc.product(factors) if factors else sc.ONE, dims, keepdim=keepdim)

    def amax(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False, name: str = "amax") -> SymbolicTensor:
        return self.reduce(lambda elements: sc.largest(elements, name), dims, keepdim=keepdim)

    def amin(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False, name: str = "amin") -> SymbolicTensor:
        return self.reduce(lambda elements: sc.largest(elements, name, sign=-1), dims, keepdim=keepdim)

    def count(self, dims: Sequence[int] | int | None = None) -> int:
        """How many elements a reduction over `dims` joins."""
        return int(np.prod([self.shape[dim] for dim in normalized_dims(dims, self.ndim)], dtype=np.int64))

    # Movement.

    def reindexed(self, shape: Sequence[int], source: Callable[[Index], Index]) -> SymbolicTensor:
        """The tensor whose element at `index` is this one's at `source(index)`."""
        return SymbolicTensor(shape, lambda index: self[source(index)])

    def reshape(self, shape: Sequence[int]) -> SymbolicTensor:
        old, new = _strides(self.shape), _strides(shape)

        def source(index: Index) -> Index:
            flat = sum(place * stride for place, stride in zip(index, new, strict=True))
            return tuple(flat // stride % size for stride, size in zip(old, self.shape, strict=True))

        return self.reindexed(shape, source)

    def transpose(self, first: int, second: int) -> SymbolicTensor:
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        return self.reindexed([self.shape[dim] for dim in order], lambda index: tuple(index[dim] for dim in order))

    def unsqueeze(self, dim: int) -> SymbolicTensor:
        place = dim % (self.ndim + 1)
        shape = (*self.shape[:place], 1, *self.shape[place:])
        return self.reindexed(shape, lambda index: index[:place] + index[place + 1 :])

    def broadcast_to(self, shape: Sequence[int]) -> SymbolicTensor:
        return self.reindexed(shape, _broadcaster(self.shape, len(shape)))

    def __matmul__(self, other: SymbolicTensor) -> SymbolicTensor:
        """As torch.matmul: vectors, matrices, and batches of them, broadcast."""
        left = self.unsqueeze(0) if self.ndim == 1 else self
        right = other.unsqueeze(1) if other.ndim == 1 else other
        if left.shape[-1] != right.shape[-2]:
            raise CheckError(f"shapes {self.shape} and {other.shape} do not fit a matrix product")
        inner = left.shape[-1]
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        to_left = _broadcaster(left.shape[:-2], len(batch))
        to_right = _broadcaster(right.shape[:-2], len(batch))

        def pull(index: Index) -> Scalar:
            *outer, row, column = index
            in_left, in_right = to_left(tuple(outer)), to_right(tuple(outer))
            return sc.dot(
                [left[(*in_left, row, k)] for k in range(inner)], [right[(*in_right, k, column)] for k in range(inner)]
            )

        result = SymbolicTensor((*batch, left.shape[-2], right.shape[-1]), pull)
        if self.ndim == 1:
            result = result.reindexed((*result.shape[:-2], result.shape[-1]), lambda index: (*index[:-1], 0, index[-1]))
        if other.ndim == 1:
            result = result.reindexed(result.shape[:-1], lambda index: (*index, 0))
        return result


class InputTensor(SymbolicTensor):
    """An input, entered exactly: chosen elements are symbols, all others numbers.

    The parts of a complex element are two symbols: index (i, 0) is the real part of element i, (i, 1) the imaginary one.

    Attributes:
        touched: the indices that have been asked for; all other elements do not matter to what was pulled.
    """

    __slots__ = ("_array", "_chosen", "_name", "_position")

    def __init__(self, tensor: Tensor, position: int, name: str, chosen: Collection[Index] | None) -> None:
        self._array = exact_array(tensor)
        self._position = position
        self._name = name
        self._chosen = chosen
        super().__init__(tuple(tensor.shape), self._enter)

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


def from_torch(tensor: Tensor, *, position: int, name: str, chosen: Collection[Index] | None = None) -> InputTensor:
    """The tensor as an input whose elements (those in `chosen`; all for None) are symbols named `name_i_j`.

    Every float is taken exactly; inf and nan stay what they are.
    """
    return InputTensor(tensor, position, name, chosen)


class NumberTensor(SymbolicTensor):
    """A tensor of exact numbers without symbols.

    Attributes:
        array: the numbers, in a dtype that holds them exactly; an index or a mask keeps its own.
    """

    __slots__ = ("array",)

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        super().__init__(array.shape, lambda index: sc.number(array.item(index)))


def numbers(tensor: Tensor) -> NumberTensor:
    """The tensor as exact numbers without symbols."""
    return NumberTensor(exact_array(tensor))


def constant(value: Number, shape: Sequence[int] = ()) -> SymbolicTensor:
    """A tensor of one number everywhere."""
    element = sc.number(value)
    return SymbolicTensor(shape, lambda index: element)


def exact_array(tensor: Tensor) -> NDArray[Any]:
    """The values as a numpy array that holds them exactly, in their own type (bfloat16 in float32)."""
    dense = tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()
    plain = dense.cpu().resolve_conj().resolve_neg()
    if plain.dtype is torch.complex32:
        plain = plain.to(torch.complex64)
    if plain.dtype.is_floating_point and plain.dtype not in (torch.float16, torch.float32, torch.float64):
        plain = plain.to(torch.float32)
    array: NDArray[Any] = plain.numpy()
    return array


def of_parts(tensor: SymbolicTensor) -> SymbolicTensor:
    """A complex tensor as a real one with a last dimension of two, the real and the imaginary part."""

    def pull(index: Index) -> Scalar:
        element = tensor[index[:-1]]
        return sc.imaginary_part(element) if index[-1] else sc.real_part(element)

    return SymbolicTensor((*tensor.shape, 2), pull)


def elementwise(function: ScalarFunction, *operands: SymbolicTensor | Number) -> SymbolicTensor:
    """The function of all operands, broadcast against each other."""
    tensors = [operand if isinstance(operand, SymbolicTensor) else constant(operand) for operand in operands]
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    sources = [_broadcaster(tensor.shape, len(shape)) for tensor in tensors]

    def pull(index: Index) -> Scalar:
        return sc.apply(function, [tensor[source(index)] for tensor, source in zip(tensors, sources, strict=True)])

    return SymbolicTensor(shape, pull)


def normalized_dims(dims: Sequence[int] | int | None, ndim: int) -> tuple[int, ...]:
    """The dims as sorted non-negative ints; None or an empty list means all, as in torch."""
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return tuple(range(ndim))
    if ndim == 0:
        return ()
    return tuple(sorted(dim % ndim for dim in ((dims,) if isinstance(dims, int) else dims)))


def _combined(
    join: Callable[[Scalar, Scalar], Scalar], left: SymbolicTensor, right: SymbolicTensor | Number
) -> SymbolicTensor:
    other = right if isinstance(right, SymbolicTensor) else constant(right)
    shape = np.broadcast_shapes(left.shape, other.shape)
    to_left, to_right = _broadcaster(left.shape, len(shape)), _broadcaster(other.shape, len(shape))
    return SymbolicTensor(shape, lambda index: join(left[to_left(index)], other[to_right(index)]))


def _broadcaster(shape: Sequence[int], ndim: int) -> Callable[[Index], Index]:
    """From an index into a broadcast tensor of `ndim` dims to the index into one of `shape`."""
    skipped = ndim - len(shape)
    if all(size != 1 for size in shape):
        return (lambda index: index) if skipped == 0 else (lambda index: index[skipped:])
    keep = tuple(0 if size == 1 else 1 for size in shape)
    return lambda index: tuple(place * kept for place, kept in zip(index[skipped:], keep, strict=True))


def _strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides = [1]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return tuple(reversed(strides)) if shape else ()
