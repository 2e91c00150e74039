"""`SymbolicTensor`: a shape and a function from index to element, pulled lazily, that rules compute with as with
numpy arrays.

Asking for one output element touches only the inputs that it depends on. Elements are `Scalar`s (see `scalar.py`):
input elements chosen as symbols are differentiated for, all others are exact numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from gradviz.errors import CheckError
from gradviz.symbolic import bulk, sweep
from gradviz.symbolic import many as at_once
from gradviz.symbolic import scalar as sc
from gradviz.symbolic.bulk import LONG
from gradviz.symbolic.deadline import require_time
from gradviz.symbolic.function import RESULT, ScalarFunction, function_of_one
from gradviz.symbolic.indexing import Lines, broadcaster, line, normalized_dims, places_of, strides_of
from gradviz.symbolic.many import Many, Places, Read
from gradviz.symbolic.scalar import Scalar

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
        many: gives many elements at once, as numbers; None where that is not cheaper than one by one.

    >>> import torch
    >>> from gradviz.symbolic.entered import from_torch
    >>> x = from_torch(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), position=0, name="x")
    >>> (x @ x)[1, 0].approximate
    15.0
    >>> x.sum((1,)).expression((0,))
    x_0_0 + x_0_1
    """

    __slots__ = ("_memo", "_pull", "many", "shape")

    def __init__(self, shape: Sequence[int], pull: Callable[[Index], Scalar], many: Read | None = None) -> None:
        self.shape = tuple(shape)
        self.many = many
        self._pull = pull
        self._memo: dict[Index, Scalar] = {}

    def __getitem__(self, index: Index) -> Scalar:
        """The element at a full index of non-negative ints, made on first use.

        Raises:
            OutOfTime: a deadline has passed.
            TooMuchWork: an allowance is used up.
        """
        known = self._memo.get(index)
        if known is None:
            require_time()
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
        return _combined(lambda a, b: sc.total([a, b]), at_once.added, self, other)

    def __mul__(self, other: SymbolicTensor | Number) -> SymbolicTensor:
        return _combined(lambda a, b: sc.dot([a], [b]), at_once.multiplied, self, other)

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
        if self.many is not None:  # real
            return self * self
        return SymbolicTensor(self.shape, lambda index: sc.squared_modulus(self[index]))

    def as_numbers(self) -> SymbolicTensor:
        """The same values without symbols: constants as far as derivatives go."""
        many = None if self.many is None else partial(at_once.as_numbers, self.many)
        return SymbolicTensor(self.shape, lambda index: sc.as_number(self[index]), many)

    # Reductions; `dims` None means all of them.

    def reduce(
        self,
        combine: Callable[[list[Scalar]], Scalar],
        dims: Sequence[int] | int | None = None,
        *,
        keepdim: bool = False,
        long: Callable[[SymbolicTensor, Places], Scalar] | None = None,
        groups: Callable[[Many, int], Many] | None = None,
    ) -> SymbolicTensor:
        """`combine` of the elements along `dims`: `long` of more than `LONG`; `groups` of many such lines at once."""
        lines = Lines(self.shape, dims, keepdim=keepdim)

        def pull(index: Index) -> Scalar:
            if long is not None and self.many is not None and lines.length > LONG:
                return long(self, lines.of_many(tuple(np.array([place]) for place in index), 1))
            require_time(work=lines.length)
            return combine([self[element] for element in lines.of_one(index)])

        def read(flats: NDArray[np.int64]) -> Many:
            assert self.many is not None and groups is not None
            count = len(flats)
            require_time(work=count * lines.length)
            return groups(self.many(lines.of_many(places_of(flats, lines.shape), count), count * lines.length), count)

        result = SymbolicTensor(lines.shape, pull)
        if groups is None or not lines.length:
            return _with_many(result, self)
        if self.many is not None:
            result.many = partial(at_once.once, read, result.shape)
        return result

    def sum(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False) -> SymbolicTensor:
        return self.reduce(_sum_of, dims, keepdim=keepdim, long=bulk.total, groups=at_once.summed)

    def mean(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False) -> SymbolicTensor:
        return self.sum(dims, keepdim=keepdim) / self.count(dims)

    def prod(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False) -> SymbolicTensor:
        return self.reduce(lambda factors: sc.product(factors) if factors else sc.ONE, dims, keepdim=keepdim)

    def amax(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False, name: str = "amax") -> SymbolicTensor:
        return self._extreme(dims, keepdim, name, 1)

    def amin(self, dims: Sequence[int] | int | None = None, *, keepdim: bool = False, name: str = "amin") -> SymbolicTensor:
        return self._extreme(dims, keepdim, name, -1)

    def _extreme(self, dims: Sequence[int] | int | None, keepdim: bool, name: str, sign: int) -> SymbolicTensor:
        return self.reduce(
            partial(sc.largest, name=name, sign=sign),
            dims,
            keepdim=keepdim,
            long=partial(bulk.largest, name=name, sign=sign),
            groups=partial(at_once.extreme, sign=sign),
        )

    def count(self, dims: Sequence[int] | int | None = None) -> int:
        """How many elements a reduction over `dims` joins."""
        return int(np.prod([self.shape[dim] for dim in normalized_dims(dims, self.ndim)], dtype=np.int64))

    # Movement.

    def reindexed(self, shape: Sequence[int], source: Callable[[Index], Index]) -> SymbolicTensor:
        """The tensor whose element at `index` is this one's at `source(index)`."""
        return SymbolicTensor(shape, lambda index: self[source(index)])

    def moved(self, shape: Sequence[int], source: Callable[[Any], Any]) -> SymbolicTensor:
        """`reindexed` by a source that also takes arrays of indices."""
        many = None if self.many is None else partial(at_once.elsewhere, self.many, source)
        return SymbolicTensor(shape, lambda index: self[source(index)], many)

    def reshape(self, shape: Sequence[int]) -> SymbolicTensor:
        old, new = strides_of(self.shape), strides_of(shape)

        def source(index: Any) -> Any:
            flat = sum(place * stride for place, stride in zip(index, new, strict=True))
            return tuple(flat // stride % size for stride, size in zip(old, self.shape, strict=True))

        return self.moved(shape, source)

    def transpose(self, first: int, second: int) -> SymbolicTensor:
        order = list(range(self.ndim))
        order[first], order[second] = order[second], order[first]
        return self.moved([self.shape[dim] for dim in order], lambda index: tuple(index[dim] for dim in order))

    def unsqueeze(self, dim: int) -> SymbolicTensor:
        place = dim % (self.ndim + 1)
        shape = (*self.shape[:place], 1, *self.shape[place:])
        return self.moved(shape, lambda index: index[:place] + index[place + 1 :])

    def broadcast_to(self, shape: Sequence[int]) -> SymbolicTensor:
        return self.moved(shape, broadcaster(self.shape, len(shape)))

    def __matmul__(self, other: SymbolicTensor) -> SymbolicTensor:
        """As torch.matmul: vectors, matrices, and batches of them, broadcast."""
        left = self.unsqueeze(0) if self.ndim == 1 else self
        right = other.unsqueeze(1) if other.ndim == 1 else other
        if left.shape[-1] != right.shape[-2]:
            raise CheckError(f"shapes {self.shape} and {other.shape} do not fit a matrix product")
        inner = left.shape[-1]
        batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        to_left = broadcaster(left.shape[:-2], len(batch))
        to_right = broadcaster(right.shape[:-2], len(batch))

        def pull(index: Index) -> Scalar:
            *outer, row, column = index
            in_left, in_right = to_left(tuple(outer)), to_right(tuple(outer))
            if inner > LONG:
                steps = np.arange(inner)
                return bulk.dot(left, line((*in_left, row), steps), right, line(in_right, steps, column))
            require_time(work=inner)
            return sc.dot(
                [left[(*in_left, row, k)] for k in range(inner)], [right[(*in_right, k, column)] for k in range(inner)]
            )

        def read(flats: NDArray[np.int64]) -> Many:
            assert left.many is not None and right.many is not None
            require_time(work=inner * len(flats))
            *outer, row, column = (np.repeat(place, inner) for place in places_of(flats, shape))
            steps = np.tile(np.arange(inner), len(flats))
            first = left.many((*to_left(tuple(outer)), row, steps), len(steps))
            second = right.many((*to_right(tuple(outer)), steps, column), len(steps))
            return at_once.summed(at_once.multiplied(first, second), len(flats))

        shape = (*batch, left.shape[-2], right.shape[-1])
        result = SymbolicTensor(shape, pull)
        if inner and left.many is not None and right.many is not None:
            result.many = partial(at_once.once, read, shape)
        if self.ndim == 1:
            result = result.moved((*result.shape[:-2], result.shape[-1]), lambda index: (*index[:-1], 0, index[-1]))
        if other.ndim == 1:
            result = result.moved(result.shape[:-1], lambda index: (*index, 0))
        return result


def _sum_of(terms: list[Scalar]) -> Scalar:
    return sc.total(terms) if terms else sc.ZERO


def constant(value: Number, shape: Sequence[int] = ()) -> SymbolicTensor:
    """A tensor of one number everywhere."""
    element = sc.number(value)
    made = SymbolicTensor(shape, lambda index: element)
    return made if isinstance(value, complex) else _with_many(made)


def of_parts(tensor: SymbolicTensor) -> SymbolicTensor:
    """A complex tensor as a real one with a last dimension of two, the real and the imaginary part."""

    def pull(index: Index) -> Scalar:
        element = tensor[index[:-1]]
        return sc.imaginary_part(element) if index[-1] else sc.real_part(element)

    return SymbolicTensor((*tensor.shape, 2), pull)


def elementwise(function: ScalarFunction, *operands: SymbolicTensor | Number) -> SymbolicTensor:
    """The function of all operands, broadcast against each other."""
    tensors = [operand if isinstance(operand, SymbolicTensor) else constant(operand) for operand in operands]
    return _broadcast(lambda elements: sc.apply(function, elements), partial(at_once.applied, function), tensors)


def _combined(
    join: Callable[[Scalar, Scalar], Scalar],
    join_many: Callable[[Many, Many], Many],
    left: SymbolicTensor,
    right: SymbolicTensor | Number,
) -> SymbolicTensor:
    other = right if isinstance(right, SymbolicTensor) else constant(right)
    return _broadcast(lambda pair: join(*pair), lambda pair: join_many(*pair), [left, other])


def _broadcast(
    join: Callable[[list[Scalar]], Scalar], join_many: Callable[[list[Many]], Many], tensors: list[SymbolicTensor]
) -> SymbolicTensor:
    shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
    sources = [(tensor, broadcaster(tensor.shape, len(shape))) for tensor in tensors]

    def read(places: Places, count: int) -> Many:
        require_time(work=count)
        return join_many([tensor.many(source(places), count) for tensor, source in sources if tensor.many is not None])

    cheap = all(tensor.many is not None for tensor in tensors)
    return SymbolicTensor(
        shape, lambda index: join([tensor[source(index)] for tensor, source in sources]), read if cheap else None
    )


def _with_many(result: SymbolicTensor, *made_of: SymbolicTensor) -> SymbolicTensor:
    """The tensor, its elements gathered one by one where many are asked for: those that it is made of go all at once."""
    if all(tensor.many is not None for tensor in made_of):
        result.many = partial(bulk.gathered, result)
    return result
