"""One recorded call and symbolic inputs -> its symbolic outputs, by whichever kind of rule it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from torch import Tensor

from gradviz.opcall import OpCall, is_inexact
from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arithmetic import EXACT
from gradviz.symbolic.arrays import exact_array
from gradviz.symbolic.binding import Argument, bind, call_with, working_dtype
from gradviz.symbolic.bulk import gathered
from gradviz.symbolic.chain import Chain, moved_at_once
from gradviz.symbolic.entered import numbers
from gradviz.symbolic.function import RESULT, ScalarFunction
from gradviz.symbolic.lowering import lowered
from gradviz.symbolic.moved import Movement
from gradviz.symbolic.recurrent import is_recurrence
from gradviz.symbolic.registry import MovementRule, NoGradient, NoRule, PointwiseRule, TensorRule, find_rule, has_rule
from gradviz.symbolic.rounding import Range, exactly_held, rounded, unit_roundoff
from gradviz.symbolic.scalar import Pair, Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor, elementwise

Lookup = Callable[[Tensor, int], SymbolicTensor]
Outputs = tuple[SymbolicTensor | None, ...]
_ROUNDINGS = 2.0**14
_FUNCTIONS: dict[tuple[Any, ...], ScalarFunction] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise:
    """A pointwise call with its options filled in.

    Attributes:
        function: of the operands, derived and compiled once for all calls with the same options.
        operands: for each parameter of the function a tensor or a number.
        positions: for each parameter the edge key; None for numbers and saved outputs.
        coarse, coarse_value: as in `PointwiseRule`.
    """

    function: ScalarFunction
    operands: tuple[Tensor | int | float | complex, ...]
    positions: tuple[int | None, ...]
    coarse: float
    coarse_value: float


def evaluate(call: OpCall, lookup: Lookup, *, at_once: bool = False) -> Outputs:
    """The symbolic outputs of the call; None for those that are not differentiable.

    Args:
        call: the recorded call.
        lookup: gives the symbolic tensor that stands for an argument, from its snapshot and its edge key.
        at_once: whether many elements can be read at once wherever that is known (see `many.py`): what is read so several
            times is made several times, unless it is kept (see `chain.py`).

    Raises:
        NoRule: no rule, or the op has no gradient.
    """
    if not is_complex(call):
        return _evaluated(call, lookup, at_once=at_once)
    try:
        with Range(working_dtype([*(argument.tensor for argument in call.tensor_arguments()), *call.outputs])).entered():
            return _believed(call, _evaluated(call, lookup, at_once=False))
    except (TypeError, ValueError, RuntimeError) as error:  # from what was written for real numbers
        raise NoRule(f"the rule of {call.overload} does not hold for complex numbers") from error


def is_complex(call: OpCall) -> bool:
    """Whether a complex tensor goes in or comes out."""
    arguments = (argument.tensor for argument in call.tensor_arguments())
    return any(tensor is not None and tensor.dtype.is_complex for tensor in (*arguments, *call.outputs))


def _evaluated(call: OpCall, lookup: Lookup, *, at_once: bool) -> Outputs:
    if not has_rule(call.overload):
        return _lower(call, lookup, at_once=at_once)
    rule = find_rule(call.overload)
    if isinstance(rule, NoGradient):
        raise NoRule(f"{call.overload} has no gradient: {rule.reason}")
    if isinstance(rule, PointwiseRule):
        pointwise = specialize(rule, call)
        operands = [
            lookup(operand, position)
            if isinstance(operand, Tensor) and position is not None
            else _plain(operand, at_once=at_once)
            for operand, position in zip(pointwise.operands, pointwise.positions, strict=True)
        ]
        return elementwise(pointwise.function, *operands), *[None] * (len(call.outputs) - 1)
    if isinstance(rule, MovementRule):
        return _move(rule, call, lookup, at_once=at_once)
    return _run(rule, call, lookup)


def _believed(call: OpCall, outputs: Outputs) -> Outputs:
    """The outputs of a complex call; a rule may have been written for real numbers, and is then seen in the value."""
    typed: list[SymbolicTensor | None] = []
    for made, recorded in zip(outputs, call.outputs, strict=False):
        if made is None or recorded is None:
            typed.append(None)
            continue
        if not recorded.dtype.is_complex:
            made = _real(made)
        typed.append(made)
        if recorded.device.type == "meta" or not recorded.numel():
            continue
        numbers = exact_array(recorded)
        bound = _ROUNDINGS * unit_roundoff(recorded.dtype) * float(np.abs(numbers).max())
        for index in {(0,) * numbers.ndim, tuple(size - 1 for size in numbers.shape)}:
            got, true = complex(numbers[index]), complex(made[index].value)
            if np.isfinite(got) and not abs(got - true) <= bound:
                raise NoRule(f"the rule of {call.overload} does not give the recorded complex value")
    return tuple(typed)


def _real(tensor: SymbolicTensor) -> SymbolicTensor:
    return SymbolicTensor(tensor.shape, lambda index: sc.real_part(tensor[index]))


def specialize(rule: PointwiseRule, call: OpCall) -> Pointwise:
    """The scalar function of this call and its operands."""
    arguments = {argument.name: argument for argument in bind(call)}
    symbols: dict[str, Any] = {}
    operands: list[Tensor | int | float | complex] = []
    positions: list[int | None] = []
    structure: list[Any] = []
    for name in (*arguments, *rule.saved):
        argument = arguments.get(name)
        value: Any = argument.value if argument is not None else call.outputs[rule.saved[name]]
        numeric = isinstance(value, (Tensor, int, float, complex)) and not isinstance(value, bool)
        if numeric and name not in rule.exact:
            real = not (value.dtype.is_complex if isinstance(value, Tensor) else isinstance(value, complex))
            symbols[name] = sp.Symbol(name, real=True) if real else sp.Symbol(name)
            operands.append(value)
            positions.append(argument.positions[0] if argument is not None and argument.positions else None)
            structure.append(... if real else complex)
        else:
            symbols[name] = exact_number(value) if numeric else value
            structure.append(value)
    key = (rule.overload, *((type(item).__name__, item) for item in structure))
    function = _FUNCTIONS.get(key)
    if function is None:
        function = _FUNCTIONS[key] = _build(rule, symbols, {n: a for n, a in arguments.items() if a.keyword_only})
    return Pointwise(
        function=function,
        operands=tuple(operands),
        positions=tuple(positions),
        coarse=rule.coarse,
        coarse_value=rule.coarse_value,
    )


def exact_number(value: int | float | complex) -> sp.Expr:
    """The number that torch was given, without rounding."""
    if isinstance(value, complex):
        return exact_number(value.real) + sp.I * exact_number(value.imag)
    return sp.Integer(value) if float(value).is_integer() else sp.Rational(value)


def _build(rule: PointwiseRule, values: dict[str, Any], keyword_only: dict[str, Argument]) -> ScalarFunction:
    positional = [value for name, value in values.items() if name not in keyword_only and name not in rule.saved]
    keywords = {name: value for name, value in values.items() if name in keyword_only or name in rule.saved}
    parameters = [value for value in values.values() if isinstance(value, sp.Symbol)]
    places = {symbol.name: place for place, symbol in enumerate(parameters)}
    return ScalarFunction(
        rule.function.__name__,
        parameters,
        rule.function(*positional, **keywords),
        written={
            places[name]: partial(*positional, RESULT, **keywords)
            for name, partial in rule.written.items()
            if name in places
        },
        kinks={name: zero(*positional, **keywords) for name, zero in rule.kinks.items()},
        limits={places[name]: limit(*positional, **keywords) for name, limit in rule.limits.items() if name in places},
        takes_nan=rule.takes_nan,
    )


def _plain(operand: Tensor | int | float | complex, *, at_once: bool) -> SymbolicTensor:
    if isinstance(operand, Tensor):
        return numbers(operand)
    element = _rounded(operand)
    tensor = SymbolicTensor((), lambda index: element)
    if at_once and not isinstance(operand, complex):
        tensor.many = partial(gathered, tensor)
    return tensor


def _rounded(number: int | float | complex) -> Scalar:
    """A Python number, which torch may round to the dtype that it computes in."""
    if isinstance(number, complex):
        return Pair(_rounded(number.real), _rounded(number.imag))
    value = EXACT.number(number)
    return Scalar(value, 0.0 if exactly_held(float(number)) else rounded(value))


def _move(rule: MovementRule, call: OpCall, lookup: Lookup, *, at_once: bool = False) -> Outputs:
    movement = Movement(rule, call)
    tensors = {
        position: lookup(tensor, position)
        for argument in bind(call)
        if argument.name in rule.moved
        for position, tensor in zip(argument.positions, _items(argument.value), strict=False)
        if position is not None
    }

    def output(place: int, shape: Index) -> SymbolicTensor:
        def pull(index: Index) -> Scalar:
            source = movement.source(place, index)
            return tensors[source[0]][source[1]] if isinstance(source, tuple) else sc.number(source)

        return SymbolicTensor(shape, pull, moved_at_once(movement, place, tensors) if at_once else None)

    return tuple(
        output(place, tuple(tensor.shape)) if tensor is not None and is_inexact(tensor) else None
        for place, tensor in enumerate(call.outputs)
    )


def _lower(call: OpCall, lookup: Lookup, *, at_once: bool) -> Outputs:
    """By torch's own decomposition into calls that have rules."""
    found = lowered(call)
    known = {  # an argument that is given twice is known by the tensor that the call had, not by its clone
        id(found.arguments[argument.position]): lookup(argument.tensor, argument.position)
        for argument in call.tensor_arguments()
        if is_inexact(argument.tensor)
    }
    chain = Chain() if is_recurrence(call) else None

    def within(tensor: Tensor, position: int) -> SymbolicTensor:
        return known[id(tensor)] if id(tensor) in known else numbers(tensor)

    for inner in found.calls:
        results = evaluate(inner, within, at_once=at_once) if chain is None else _evaluated(inner, within, at_once=True)
        for made, result in zip(inner.outputs, results, strict=False):
            if made is not None and result is not None:
                known[id(made)] = result
                if chain is not None:
                    chain.keep(result)
    return tuple(None if result is None else known.get(id(result)) for result in found.results)


def _run(rule: TensorRule, call: OpCall, lookup: Lookup) -> Outputs:
    extra = {"outputs": call.outputs} if rule.needs_outputs else {}
    results = call_with(rule.function, bind(call), lambda argument, tensor, position: lookup(tensor, position), **extra)
    return results if isinstance(results, tuple) else (results,)


def _items(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)
