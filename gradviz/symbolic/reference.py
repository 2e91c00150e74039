"""The true values and derivatives of a recorded call, or of several composed, with bounds on rounding in torch's.

`reference(call)` is what the check compares autograd with. A pointwise call and a data movement are checked on all
elements at once (`pointwise_partial`, `full_vjp`); every call can be asked for single rows of its local Jacobian
(`row`), for vector-Jacobian products from a few output elements (`vjp`) and for forward values (`value`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.errors import CheckError
from gradviz.opcall import OpCall, is_inexact
from gradviz.symbolic.arithmetic import EXACT, MP, WIDE_UNIT, from_wide
from gradviz.symbolic.binding import working_dtype
from gradviz.symbolic.entered import InputTensor, from_torch, numbers
from gradviz.symbolic.evaluate import Outputs, evaluate, is_complex, specialize
from gradviz.symbolic.full import WideValues, movement_vjp, pointwise_partial, pointwise_value, pointwise_vjp
from gradviz.symbolic.indexing import places_of
from gradviz.symbolic.many import Many, NotAtOnce, swept
from gradviz.symbolic.method import method_of
from gradviz.symbolic.moved import Movement
from gradviz.symbolic.registry import MovementRule, NoRule, PointwiseRule, find_rule, has_rule
from gradviz.symbolic.rounding import SAFETY, Range, smallest, unit_roundoff
from gradviz.symbolic.signed_zeros import with_signs_of_zeros
from gradviz.symbolic.sweep import in_order, kinks_of, partials_of, ranges_of
from gradviz.symbolic.tensor import Index, SymbolicTensor, of_parts


class Exact(NamedTuple):
    """A true number.

    Attributes:
        value: an mpmath number of 50 digits; may be inf or nan.
        bound: how far torch's number may be from it by rounding alone.
    """

    value: Any
    bound: float

    def __float__(self) -> float:
        return float(self.value)


_NOTHING = Exact(MP.zero, 0.0)


class Elements(NamedTuple):
    """True numbers for some elements.

    Attributes:
        flats: their flat indices, each once.
        value: in numpy longdouble.
        bound: how far torch's numbers may be from them by rounding alone.
    """

    flats: NDArray[np.int64]
    value: NDArray[np.longdouble]
    bound: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The partials of one output element (or of a weighted sum of some) with respect to the inputs.

    Attributes:
        partials: edge key -> index into that argument -> partial; what is not there is exactly 0.
        kinks: names of the kinks that the inputs lie on, where torch may take any subgradient.
        kinked: (edge key, index) of the input elements that move something which lies on a kink.
    """

    partials: Mapping[int, Mapping[Index, Exact]]
    kinks: tuple[str, ...]
    kinked: frozenset[tuple[int, Index]] = frozenset()

    def partial(self, position: int, index: Index) -> Exact:
        """The partial with respect to one input element; exactly 0 where the output does not depend on it."""
        return self.partials.get(position, {}).get(index, _NOTHING)


class Reference:
    """What is true of one recorded call, or of several composed.

    Complex arguments and outputs count as real tensors with a last dimension of two, the real and the imaginary part: the
    convention in which autograd keeps complex gradients makes them just that (see `analytic.py`).

    Attributes:
        method: "pointwise", "movement", "tensor", "lowered" or "composed".
        inputs: edge key -> the input as entered; integer tensors are absent.
        outputs: the symbolic outputs, None for those that are not differentiable.
        dtype: the coarsest dtype involved, which the bounds are for.
    """

    def __init__(
        self,
        method: str,
        inputs: Mapping[int, InputTensor],
        outputs: Outputs,
        dtype: torch.dtype,
        call: OpCall | None,
        coarse: float = 0.0,
        coarse_value: float = 0.0,
    ) -> None:
        self.method = method
        self.inputs = dict(inputs)
        self.outputs = outputs
        self.dtype = dtype
        self._call = call
        self._coarse = coarse
        self._coarse_value = coarse_value
        self._unit = unit_roundoff(dtype)
        self._smallest = smallest(dtype)
        self._range = Range(dtype)

    @property
    def overflowed(self) -> bool:
        """Whether a number on the way to what was asked for so far lies beyond the range of the dtype."""
        return self._range.overflowed

    def make(self, values: Sequence[SymbolicTensor]) -> None:
        """Makes all elements of these values on the way, in this order: long chains then need no deep recursion."""
        with self._range.entered():
            for value in values:
                for index in value.indices():
                    value[index]

    def value(self, index: Index, *, output: int = 0) -> Exact:
        """The true forward value of one output element."""
        with self._range.entered():
            element = self._output(output)[index]
        return self._exact(element.value, element.error, self._coarse_value)

    def row(self, index: Index, *, output: int = 0) -> Row:
        """The row of the local Jacobian that belongs to one output element, for all arguments at once."""
        return self.vjp({(output, index): 1.0})

    def vjp(self, cotangent: Mapping[tuple[int, Index], float]) -> Row:
        """The VJP of a cotangent that is zero except for the given (output, index) -> weight."""
        partials: dict[int, dict[Index, Exact]] = {position: {} for position in self.inputs}
        with self._range.entered():
            seeds = [
                (self._output(output)[index], MP.one if weight == 1 else EXACT.number(weight))
                for (output, index), weight in cotangent.items()
            ]
            order = in_order([scalar for scalar, _ in seeds])
            for symbol, (value, error) in partials_of(seeds, order=order).items():
                position, index = symbol.key
                partials[position][index] = self._exact(value, error, self._coarse)
        for position, entered in self.inputs.items():
            if entered.is_complex:
                partials[position] = self._by_modulus(partials[position])
        with self._range.entered():
            kinks, kinked = kinks_of(order, self._unit)
        return Row(partials=partials, kinks=kinks, kinked=kinked)

    def ranges(self, index: Index, *, output: int = 0) -> dict[tuple[int, Index], tuple[float, float]]:
        """Between which numbers the partials of one output element lie where elements tie, whichever of them is taken.

        By edge key and index; elements that have no part in a tie are not there.
        """
        with self._range.entered():
            return ranges_of([(self._output(output)[index], MP.one)], self._unit)

    def values_at_once(self, flats: Sequence[int], *, output: int = 0) -> Elements | None:
        """The true values of some output elements, in wide floats; None where they are only had one by one."""
        with self._range.entered():
            many = self._many(flats, output)
        if many is None:
            return None
        return self._elements(np.array(flats, dtype=np.int64), many.value, many.error, self._coarse_value)

    def vjp_at_once(self, flats: Sequence[int], weights: Sequence[float], *, output: int = 0) -> dict[int, Elements] | None:
        """The VJP of a cotangent with these weights at some output elements, in wide floats: all that is not exactly 0.

        None where that is only had one by one: with `vjp`, which also tells on which kinks the inputs lie.
        """
        with self._range.entered():
            many = self._many(flats, output)
            if many is None:
                return None
            try:
                found = swept(many, np.array(weights, dtype=np.longdouble), self._unit)
            except NotAtOnce:
                return None
        return {at: self._elements(places, *adjoint, self._coarse) for at, (places, adjoint) in found.items()}

    def row_at_once(self, index: Index, *, output: int = 0) -> Row | None:
        """As `row`, in wide floats; None where that is only had one by one, and on kinks."""
        shape = self._output(output).shape
        flat = int(np.ravel_multi_index(index, shape)) if shape else 0
        found = self.vjp_at_once([flat], [1.0], output=output)
        if found is None:
            return None
        partials: dict[int, dict[Index, Exact]] = {position: {} for position in self.inputs}
        for position, elements in found.items():
            places = np.array(np.unravel_index(elements.flats, self.inputs[position].shape)).T.tolist()
            numbers = zip(places, elements.value, elements.bound.tolist(), strict=True)
            partials[position] = {tuple(place): Exact(from_wide(value), bound) for place, value, bound in numbers}
        return Row(partials=partials, kinks=())

    def _many(self, flats: Sequence[int], output: int) -> Many | None:
        tensor = self._output(output)
        if tensor.many is None:
            return None
        return tensor.many(places_of(np.array(flats, dtype=np.int64), tensor.shape), len(flats))

    def _elements(
        self, flats: NDArray[np.int64], value: NDArray[np.longdouble], error: NDArray[np.float64], coarse: float
    ) -> Elements:
        with np.errstate(all="ignore"):
            size = np.abs(value).astype(np.float64)
            bound = SAFETY * ((self._unit + WIDE_UNIT) * (size + error) + self._smallest) + coarse * size
        return Elements(flats, value, bound)

    def _by_modulus(self, partials: Mapping[Index, Exact]) -> dict[Index, Exact]:
        """Partials after real and imaginary parts: torch computes the two as one number, accurate by modulus only."""
        bounded = {}
        for index in partials:
            both = [partials.get((*index[:-1], part), _NOTHING) for part in (0, 1)]
            rounding = SAFETY * self._unit * math.hypot(*map(float, both))
            for part, exact in enumerate(both):
                bounded[(*index[:-1], part)] = Exact(exact.value, exact.bound + rounding)
        return bounded

    def pointwise_value(self, *, elements: Collection[int] | None = None) -> WideValues:
        """All true forward values of a pointwise call, or (to 50 digits first) those of the given flat elements."""
        with self._range.entered():
            return pointwise_value(specialize(self._pointwise_rule(), self._recorded()), self.dtype, elements)

    def pointwise_partial(self, position: int, *, elements: Collection[int] | None = None) -> WideValues:
        """d out[i] / d in[i] of a pointwise call for all output elements i, broadcast; see `full.pointwise_partial`."""
        with self._range.entered():
            return pointwise_partial(specialize(self._pointwise_rule(), self._recorded()), position, self.dtype, elements)

    def full_vjp(self, position: int, cotangents: Sequence[Tensor | None]) -> WideValues:
        """All elements of the VJP of a pointwise call or data movement, in the argument's shape.

        Args:
            position: the edge key of the argument.
            cotangents: one per output of the call; None for zero.

        Raises:
            NoRule: another kind of call; use `vjp` or `row` on samples.
        """
        call = self._recorded()
        rule = find_rule(call.overload)
        if isinstance(rule, PointwiseRule):
            pointwise = specialize(rule, call)
            with self._range.entered():
                return pointwise_vjp(pointwise, position, cotangents[0], self.dtype)
        if isinstance(rule, MovementRule):
            return movement_vjp(Movement(rule, call), position, cotangents, self.dtype)
        raise NoRule(f"{call.overload} is neither pointwise nor data movement: sample rows of it")

    def _pointwise_rule(self) -> PointwiseRule:
        rule = find_rule(self._recorded().overload)
        if not isinstance(rule, PointwiseRule):
            raise NoRule(f"{self._recorded().overload} is not pointwise")
        return rule

    def _recorded(self) -> OpCall:
        if self._call is None:
            raise NoRule("a composition of calls is evaluated by element only")
        return self._call

    def _output(self, output: int) -> SymbolicTensor:
        tensor = self.outputs[output]
        if tensor is None:
            raise CheckError(f"output {output} is not differentiable; differentiable are {_present(self.outputs)}")
        return tensor

    def _exact(self, value: Any, error: float, coarse: float = 0.0) -> Exact:
        size = abs(float(value))
        bound = SAFETY * (self._unit * (size + error) + self._smallest)
        return Exact(value, bound + coarse * size if coarse else bound)


def reference(call: OpCall, *, chosen: Mapping[int, Collection[Index]] | None = None) -> Reference:
    """The truth about one recorded call.

    Args:
        call: the recorded call.
        chosen: edge key -> the only elements of that argument to be differentiated for; arguments that it does not name
            are constants. None: all elements of all floating arguments.

    Raises:
        NoRule: there is no symbolic rule for it, or it has no gradient; `.reason` says which.

    >>> a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    >>> call = OpCall(overload=torch.ops.aten.mul.Tensor, args=(a, b), outputs=(a * b,))
    >>> truth = reference(call)
    >>> float(truth.value((1,))), float(truth.row((1,)).partial(0, (1,))), float(truth.row((1,)).partial(0, (0,)))
    (10.0, 5.0, 0.0)
    """
    call = with_signs_of_zeros(call)
    rule = find_rule(call.overload) if has_rule(call.overload) else None
    inputs: dict[int, InputTensor] = {}
    for argument in call.tensor_arguments():
        if is_inexact(argument.tensor):
            name = argument.name.replace("[", "").replace("]", "")
            picked = None if chosen is None else chosen.get(argument.position, ())
            inputs[argument.position] = from_torch(argument.tensor, position=argument.position, name=name, chosen=picked)
    outputs = evaluate(call, lambda tensor, position: inputs[position] if position in inputs else numbers(tensor))
    tensors = [argument.tensor for argument in call.tensor_arguments()]
    coarse = (rule.coarse, rule.coarse_value) if isinstance(rule, PointwiseRule) else (0.0, 0.0)
    dtype = working_dtype([*tensors, *call.outputs])
    method = "tensor" if is_complex(call) else method_of(call.overload)  # elements of complex calls are looked at one by one
    return Reference(method, inputs, real_outputs(outputs, call.outputs), dtype, call, *coarse)


def real_outputs(outputs: Outputs, recorded: Sequence[Tensor | None]) -> Outputs:
    """The outputs, complex ones as real tensors with a last dimension of two."""
    return tuple(
        of_parts(made) if made is not None and value is not None and value.dtype.is_complex else made
        for made, value in zip(outputs, recorded, strict=False)
    )


def _present(outputs: Outputs) -> list[int]:
    return [place for place, tensor in enumerate(outputs) if tensor is not None]
