"""Functions that are defined by equations (inverse, solution, factors of a matrix): elements from what they must satisfy.

The recorded numbers are a start; Newton's method makes 50 digits of them. The derivatives follow from the equations alone:
where F(x, a) = 0 for all a, dx/da = -(∂F/∂x)⁻¹ ∂F/∂a, and both partials of F come by the same sweep as everywhere. So no
formula for the derivative of an inverse or of a factorization is written down here.

An algorithm that is backward stable solves the equations up to their own rounding: (∂F/∂x)⁻¹ says how far that moves x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from gradviz.symbolic import products
from gradviz.symbolic.arithmetic import EXACT, MP
from gradviz.symbolic.element import Local, Operation, Pair, Scalar, Symbol
from gradviz.symbolic.matrix import batched, elements, part, split
from gradviz.symbolic.products import Numbers
from gradviz.symbolic.registry import NoRule, Undetermined
from gradviz.symbolic.scalar import imaginary_part, real_part
from gradviz.symbolic.sweep import partials_of
from gradviz.symbolic.tensor import Index, SymbolicTensor

Equations = Callable[[Sequence[Scalar], Sequence[Scalar]], Sequence[Scalar]]
"""From the unknowns and the inputs to what is zero, one equation per unknown."""
MAX_IMPLIED = 6_000
MAX_PARTIALS = 40_000
_ITERATIONS = 60
_DIGITS = 44
_WELL_CONDITIONED = 1e8
_NEAR = 16
"""The recorded numbers are right to a sixteenth of the largest of them, or they solve other equations."""


class _Implied(Operation):
    """One of several results found together; its operands are the inputs that carry symbols."""

    def __init__(self, partials: Sequence[tuple[Any, float]]) -> None:
        self._partials = partials

    def locals(self, scalar: Scalar) -> list[Local]:
        return [
            (operand, value, error)
            for operand, (value, error) in zip(scalar.operands, self._partials, strict=True)
            if value != 0 or error
        ]

    def expression(self, scalar: Scalar, operands: Sequence[sp.Expr]) -> sp.Expr:
        raise NoRule("an element of a matrix inverse or factor is not written out as an expression")


def implied(equations: Equations, inputs: Sequence[Scalar], start: Sequence[complex]) -> list[Scalar]:
    """The unknowns that solve the equations near `start`, as functions of the inputs.

    Raises:
        NoRule: there are many unknowns, or the equations do not determine them near `start`.

    >>> from gradviz.symbolic.scalar import dot, number
    >>> two = Symbol(EXACT.number(2.0), 2.0, (0, ()), "a")
    >>> (root,) = implied(lambda x, a: [dot([x[0], a[0]], [x[0], number(-1)])], [two], [1.4])  # x² - a = 0
    >>> print(MP.nstr(root.value, 20), MP.nstr(partials_of([(root, MP.one)])[two][0], 20))
    1.4142135623730950488 0.3535533905932737622
    """
    if Pair in map(type, inputs) or complex in map(type, start):
        return _implied_complex(equations, inputs, start)
    return _implied_real(equations, inputs, [float(number.real) for number in start])


def _implied_complex(equations: Equations, inputs: Sequence[Scalar], start: Sequence[complex]) -> list[Scalar]:
    """The same in real and imaginary parts: two unknowns for one, and two equations."""

    def in_parts(unknowns: Sequence[Scalar], given: Sequence[Scalar]) -> list[Scalar]:
        return _parts(equations(_pairs(unknowns), _pairs(given)))

    begin = [part for number in start for part in (complex(number).real, complex(number).imag)]
    return list(_pairs(_implied_real(in_parts, _parts(inputs), begin)))


def _parts(scalars: Sequence[Scalar]) -> list[Scalar]:
    return [part for scalar in scalars for part in (real_part(scalar), imaginary_part(scalar))]


def _pairs(parts: Sequence[Scalar]) -> list[Scalar]:
    return [Pair(real, imaginary) for real, imaginary in zip(parts[::2], parts[1::2], strict=True)]


def _implied_real(equations: Equations, inputs: Sequence[Scalar], start: Sequence[float]) -> list[Scalar]:
    if len(start) * len(inputs) > MAX_IMPLIED:
        raise NoRule(f"a system of {len(start)} unknowns and {len(inputs)} inputs, more than are solved to 50 digits")
    values = _solved(equations, [Scalar(item.value, 0.0) for item in inputs], start)
    unknowns, stand_ins = _symbols(values, 0.0), _stand_ins(inputs)
    residuals = equations(unknowns, stand_ins)
    inverse = _inverse(_jacobian(residuals, unknowns)[0])
    away = np.abs(inverse.astype(np.float64))
    error = float((away.sum(axis=1) * max((residual.error for residual in residuals), default=0.0)).max(initial=0.0))
    unknowns = _symbols(values, error)  # the partials are rounded as functions of numbers that are rounded themselves
    residuals = equations(unknowns, stand_ins)
    _, slope_errors = _jacobian(residuals, unknowns)
    shifts, shift_errors = _jacobian(residuals, [stand_ins[place] for place in _carrying(inputs)])
    partials = -_product(inverse, shifts)
    sizes = np.abs(partials.astype(np.float64))
    return _joined(inputs, values, error, partials, away @ (slope_errors @ sizes + shift_errors) + sizes)


def of_matrices(
    algorithm: Callable[..., Sequence[SymbolicTensor]], inputs: Sequence[SymbolicTensor], shapes: Sequence[Index]
) -> tuple[SymbolicTensor, ...]:
    """The results, of these shapes, of an algorithm on each of a batch of matrices.

    Such algorithms round each element as they do the largest one. An element that is exactly 0, or a partial that is, may
    be off as far as any other.
    """

    def make(outer: Index) -> list[SymbolicTensor]:
        here = [part(tensor, outer) for tensor in inputs]
        entered = elements(*here)
        stand_ins = _stand_ins(entered)
        if sum(map(math.prod, shapes)) * len(entered) > MAX_PARTIALS:
            raise NoRule(f"matrices of {len(entered)} elements: more than {MAX_PARTIALS} partials between all of them")
        results = elements(*algorithm(*split(stand_ins, [tensor.shape for tensor in here])))
        partials, errors = _jacobian(results, [stand_ins[place] for place in _carrying(entered)])
        error = max((result.error for result in results), default=0.0)
        return split(_joined(entered, [result.value for result in results], error, partials, errors), shapes)

    return batched(inputs[0].shape[:-2], shapes, make)


def of_arrays(algorithm: Callable[[Numbers], Numbers], x: SymbolicTensor, shape: Index) -> SymbolicTensor:
    """The result, of this shape, of an algorithm on each of a batch of matrices, as `of_matrices` but in arrays."""

    def make(outer: Index) -> list[SymbolicTensor]:
        entered = elements(part(x, outer))
        if Pair in map(type, entered):
            raise NoRule("it is stated for real numbers")
        value = np.array([item.value for item in entered], dtype=object).reshape(shape)
        if not all(MP.isfinite(number) for number in value.flat):
            raise NoRule("an argument is not finite")
        carrying = _carrying(entered)
        partials = np.full((len(carrying), len(entered)), MP.zero, dtype=object)
        for row, place in enumerate(carrying):
            partials[row, place] = MP.one
        found = algorithm(
            Numbers(
                value=products.entered(value),
                error=np.array([item.error for item in entered]).reshape(shape),
                partials=products.entered(partials).reshape(len(carrying), *shape),
                partial_errors=np.zeros((len(carrying), *shape)),
            )
        )
        flat = (len(carrying), value.size)
        errors = found.partial_errors.reshape(flat).T
        values, error = list(products.left(found.value).flat), float(found.error.max(initial=0.0))
        return split(_joined(entered, values, error, products.left(found.partials).reshape(flat).T, errors), [shape])

    return batched(x.shape[:-2], [shape], make)[0]


def _joined(
    inputs: Sequence[Scalar], values: Sequence[Any], error: float, partials: NDArray[Any], errors: NDArray[np.float64]
) -> list[Scalar]:
    operands = tuple(inputs[place] for place in _carrying(inputs))
    if not operands:
        return [Scalar(value, error) for value in values]
    largest = float(errors.max(initial=0.0))
    return [
        Scalar(value, error, _Implied([(partial, largest) for partial in row]), operands)
        for value, row in zip(values, partials, strict=True)
    ]


def _carrying(inputs: Sequence[Scalar]) -> list[int]:
    return [place for place, item in enumerate(inputs) if item.operation is not None]


def _solved(equations: Equations, inputs: Sequence[Scalar], start: Sequence[float]) -> list[Any]:
    """Newton's method with the slopes at the start: each step adds about as many digits as the start has."""
    values = [EXACT.number(float(item)) for item in start]
    unknowns = _symbols(values, 0.0)
    residuals = equations(unknowns, inputs)
    if len(residuals) != len(values):
        raise NoRule(f"{len(residuals)} equations for {len(values)} unknowns")
    slopes, _ = _jacobian(residuals, unknowns)
    inverse = _inverse_to_start_with(slopes)
    size = max((abs(value) for value in values), default=MP.zero)
    begin = values
    for _ in range(_ITERATIONS):
        left = np.array([residual.value for residual in residuals], dtype=object)
        steps = inverse @ left
        values = [value - step for value, step in zip(values, steps, strict=True)]
        if all(abs(step) <= size * MP.mpf(10) ** -_DIGITS for step in steps):
            if any(abs(value - first) > size / _NEAR for value, first in zip(values, begin, strict=True)):
                break
            return values
        residuals = equations([Scalar(value, 0.0) for value in values], inputs)
    raise Undetermined("the equations that define it do not determine it at these inputs")


def _symbols(values: Sequence[Any], error: float) -> list[Scalar]:
    made: list[Scalar] = []
    for place, value in enumerate(values):
        symbol = Symbol(value, float(value), (0, (place,)), "unknown")
        symbol.error = error
        made.append(symbol)
    return made


def _stand_ins(inputs: Sequence[Scalar]) -> list[Scalar]:
    """Symbols in the places of the inputs that carry some, so that the sweep ends there; numbers as they are."""
    made: list[Scalar] = []
    for place, item in enumerate(inputs):
        if item.operation is None:
            made.append(item)
            continue
        symbol = Symbol(item.value, item.approximate, (1, (place,)), "input")
        symbol.error = item.error
        made.append(symbol)
    return made


def _jacobian(residuals: Sequence[Scalar], symbols: Sequence[Scalar]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    places = {symbol: place for place, symbol in enumerate(symbols)}
    values = np.full((len(residuals), len(symbols)), MP.zero, dtype=object)
    errors = np.zeros(values.shape)
    for row, residual in enumerate(residuals):
        for symbol, (value, error) in partials_of([(residual, MP.one)]).items():
            if symbol in places:
                values[row, places[symbol]] = value
                errors[row, places[symbol]] = error
    return values, errors


def _product(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """left @ right, whose right factor is mostly zeros."""
    found = np.full((len(left), right.shape[1]), MP.zero, dtype=object)
    for row, column in zip(*np.nonzero(right != 0), strict=True):
        found[:, column] += left[:, row] * right[row, column]
    return found


def _inverse_to_start_with(matrix: NDArray[Any]) -> NDArray[Any]:
    """In float64, as Python's numbers, where that has most of its digits; else to 50 digits."""
    rough = matrix.astype(np.float64)
    if rough.size and np.isfinite(rough).all() and np.linalg.cond(rough) < _WELL_CONDITIONED:
        return np.linalg.inv(rough).astype(object)
    return _inverse(matrix)


def _inverse(matrix: NDArray[Any]) -> NDArray[Any]:
    """By elimination with row exchanges, to 50 digits."""
    size = len(matrix)
    work = np.concatenate([matrix, np.full((size, size), MP.zero, dtype=object)], axis=1)
    for place in range(size):
        work[place, size + place] = MP.one
    largest = max((abs(item) for item in matrix.flat), default=MP.zero)
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(work[row, column]))
        if not abs(work[pivot, column]) > largest * MP.mpf(10) ** -30:
            raise Undetermined("the equations that define it do not determine it at these inputs")
        work[[column, pivot]] = work[[pivot, column]]
        work[column, column:] = work[column, column:] / work[column, column]
        for row in range(size):
            factor = work[row, column]
            if row != column and factor != 0:  # array first: mpmath would write the array out and read it
                work[row, column:] = work[row, column:] - work[column, column:] * factor
    return work[:, size:]
