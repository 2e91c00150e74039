"""Several recorded calls as one function: what a custom `autograd.Function` ran, or a whole graph of few leaves.

Data flow is object identity of the snapshots (see `gradviz.opcall`): an argument that is no output of an earlier call and
none of the inputs is a constant.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from gradviz.opcall import OpCall, is_inexact
from gradviz.standin import StandIn, is_kept
from gradviz.symbolic.binding import working_dtype
from gradviz.symbolic.deadline import require_time
from gradviz.symbolic.entered import InputTensor, from_torch, numbers
from gradviz.symbolic.evaluate import Outputs, evaluate
from gradviz.symbolic.reference import Reference, real_outputs
from gradviz.symbolic.registry import NoGradient, NoRule, find_rule, has_rule
from gradviz.symbolic.signed_zeros import with_signs_of_zeros
from gradviz.symbolic.tensor import Index, SymbolicTensor

_MADE_AT_ONCE = 16


def compose(
    calls: Sequence[OpCall],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    names: Sequence[str] | None = None,
    constants: Sequence[Tensor] = (),
    chosen: Mapping[int, Collection[Index]] | None = None,
    at_once: bool = False,
) -> Reference:
    """The truth about `outputs` as functions of `inputs`.

    Args:
        calls: what ran, in order.
        inputs: snapshots to differentiate for; the edge keys of the result are places in this list.
        outputs: snapshots among the calls' outputs (or inputs passed through).
        names: symbols' names, one per input; x0, x1, ... otherwise.
        constants: snapshots through which no derivative flows although a call made them (detached, under no_grad).
        chosen: place of an input -> its only elements to be differentiated for, as for `reference`.
        at_once: whether many elements can be read at once wherever that is known, as for `evaluate`.

    Raises:
        NoRule: a call between inputs and outputs has no rule, or a value was changed through a view, which identity of
            snapshots cannot follow.

    >>> x = torch.tensor(3.0)
    >>> y = x * x
    >>> z = y + x
    >>> calls = [
    ...     OpCall(overload=torch.ops.aten.mul.Tensor, args=(x, x), outputs=(y,)),
    ...     OpCall(overload=torch.ops.aten.add.Tensor, args=(y, x), outputs=(z,)),
    ... ]
    >>> truth = compose(calls, [x], [z], names=["x"])
    >>> truth.outputs[0].expression(()), float(truth.row(()).partial(0, ()))
    (x**2 + x, 7.0)
    """
    flow = _Flow(inputs, names or [f"x{place}" for place in range(len(inputs))], constants, chosen)
    for call in calls:
        flow.follow(call, at_once=at_once)
    results: Outputs = tuple(flow.result(output) for output in outputs)
    truth = Reference("composed", flow.inputs, real_outputs(results, outputs), working_dtype(flow.seen), None)
    if not at_once:
        truth.make(flow.made)
    return truth


class _Flow:
    """Which symbolic tensor stands for which snapshot; snapshots are kept alive by the calls, so their ids are safe.

    Attributes:
        inputs: place -> the input as entered.
        seen: all tensors that took part.
        made: small values, in order.
    """

    def __init__(
        self,
        inputs: Sequence[Tensor],
        names: Sequence[str],
        constants: Sequence[Tensor],
        chosen: Mapping[int, Collection[Index]] | None,
    ) -> None:
        self.inputs: dict[int, InputTensor] = {}
        self.seen: list[Tensor | None] = list(inputs)
        self.made: list[SymbolicTensor] = []
        self._known: dict[int, SymbolicTensor] = {}
        self._storages: set[int] = set()
        self._constants = {id(tensor) for tensor in constants}
        for place, (tensor, name) in enumerate(zip(inputs, names, strict=True)):
            if is_inexact(tensor):
                picked = None if chosen is None else chosen.get(place, ())
                self.inputs[place] = from_torch(tensor, position=place, name=name, chosen=picked)
                self._known[id(tensor)] = self.inputs[place]
                self._storages.add(_storage(tensor))

    def follow(self, call: OpCall, *, at_once: bool) -> None:
        """Adds the call's outputs where they depend on the inputs."""
        require_time()
        arguments = [argument.tensor for argument in call.tensor_arguments()]
        if not any(id(tensor) in self._known for tensor in arguments):
            for tensor in arguments:
                self._refuse_alias(tensor, call)
            return
        try:
            if has_rule(call.overload) and isinstance(find_rule(call.overload), NoGradient):
                return
            signed = with_signs_of_zeros(call, moving=self._known)
            results = evaluate(signed, lambda tensor, position: self._lookup(tensor, call), at_once=at_once)
        except NoRule as missing:
            raise NoRule(f"{missing.reason}, needed for a composition of {call.op} and others") from missing
        self.seen += [*arguments, *call.outputs]
        for snapshot, result in zip(call.outputs, results, strict=False):
            if snapshot is None or result is None or id(snapshot) in self._constants:
                continue
            if result.numel <= _MADE_AT_ONCE:
                self.made.append(result)
            self._known[id(snapshot)] = result
            self._storages.add(_storage(snapshot))

    def result(self, output: Tensor) -> SymbolicTensor | None:
        """What stands for an output; constants too, so that their values can be checked."""
        known = self._known.get(id(output))
        if known is None and is_inexact(output):
            return numbers(output)
        return known

    def _lookup(self, tensor: Tensor, call: OpCall) -> SymbolicTensor:
        known = self._known.get(id(tensor))
        if known is not None:
            return known
        self._refuse_alias(tensor, call)
        return numbers(tensor)

    def _refuse_alias(self, tensor: Tensor, call: OpCall) -> None:
        if id(tensor) in self._constants or not is_inexact(tensor):
            return
        if isinstance(tensor, StandIn) and not is_kept(tensor):
            raise NoRule(tensor.reason)  # nor is it known whose memory it shared
        if _storage(tensor) in self._storages:
            raise NoRule(f"an argument of {call.op} shares memory with an earlier value but is not it (changed via a view)")


def _storage(tensor: Tensor) -> int:
    odd = tensor.device.type == "meta" or tensor.layout is not torch.strided or isinstance(tensor, StandIn)
    if tensor.numel() == 0 or odd or tensor._is_zerotensor():  # which has no memory
        return -id(tensor)
    return tensor.untyped_storage().data_ptr()
