"""What a hand-written `backward()` ran: its calls, recorded while it answers, in terms of the values of its forward.

A tensor that backward() reads is one that forward() had where it is the same memory looked at in the same way, or holds the
numbers of an argument, of which there may be copies. Then the calls of both, one after the other, are the formula that was
written, and what it gives without rounding can be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gradviz.assemble.writes import with_writes_followed
from gradviz.check.heads import HeadUnderCheck
from gradviz.check.parts import Partial, vjps_of
from gradviz.opcall import OpCall, is_inexact
from gradviz.recording.record import Recorder
from gradviz.rerun import with_tensors
from gradviz.standin import StandIn
from gradviz.symbolic.rounding import exactly_held

_CAST = "_to_copy"
_DIGITS = 15
"""A number written with so many digits is meant to be exact."""
Geometry = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackwardCalls:
    """What ran for one cotangent.

    Attributes:
        calls: in order; snapshots of forward's values stand for what is saved of them.
        cotangent: its snapshot.
        answers: what was answered along each edge: snapshots that are among the calls' results, or were there before.
        others: floating tensors that are no values of forward's.
        rounded: the numbers in it that need not be meant exactly, as 0.3989 for 1/√(2π); None where tensors may hold some.
    """

    calls: tuple[OpCall, ...]
    cotangent: Tensor
    answers: tuple[Tensor, ...]
    others: tuple[Tensor, ...]
    rounded: tuple[float, ...] | None

    @property
    def is_exact(self) -> bool:
        """Whether all numbers in it are meant to be exact."""
        return self.rounded == ()

    def with_larger(self, number: float, share: float) -> BackwardCalls:
        """The same calls with one of `rounded` larger by this share of it, wherever it stands among their arguments."""

        def enlarged(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return [enlarged(item) for item in value]
            if isinstance(value, complex):
                return complex(enlarged(value.real), enlarged(value.imag))
            is_it = isinstance(value, float) and abs(value) == number
            return value * (1 + share) if is_it else value

        calls = [
            replace(
                call, args=tuple(map(enlarged, call.args)), kwargs={key: enlarged(call.kwargs[key]) for key in call.kwargs}
            )
            if number in _numbers(call)
            else call
            for call in self.calls
        ]
        return replace(self, calls=tuple(calls))


class ForwardValues:
    """The values that the calls of a forward read and made, to be found again.

    Attributes:
        given: what was not made by these calls, and what a cast made of constants: rounded numbers, taken as they are.
        calls: those that made the others.
        literals: the numbers among the arguments of the calls.
    """

    def __init__(self, head: HeadUnderCheck) -> None:
        snapshots = head.attributes["inner_inputs"]
        inputs = [tensor for tensor in snapshots if tensor is not None]
        read = [argument.tensor for call in head.inner_calls for argument in call.tensor_arguments()]
        made = [output for call in head.inner_calls for output in call.outputs if output is not None]
        self._all = list({id(tensor): tensor for tensor in (*inputs, *read, *made)}.values())
        self._by_geometry = {place: one for one in reversed(self._all) if (place := _geometry(one)) is not None}
        self.literals = {number for call in head.inner_calls for number in _numbers(call)}
        moving = {id(snapshots[edge.position]) for edge in head.edges if edge.position < len(snapshots)}
        self._cast: list[Tensor] = []
        calls = []
        for call in head.inner_calls:
            outputs = [output for output in call.outputs if output is not None]
            if any(id(argument.tensor) in moving for argument in call.tensor_arguments()):
                moving |= {id(output) for output in outputs}
            elif call.op == _CAST:
                self._cast += outputs
                continue
            calls.append(call)
        self.calls = tuple(calls)
        known = {id(tensor) for tensor in made} - {id(tensor) for tensor in self._cast}
        self.given = [tensor for tensor in self._all if id(tensor) not in known and is_inexact(tensor)]

    def find(self, tensor: Tensor) -> Tensor | None:
        """The value that this is; None where it is none."""
        place = _geometry(tensor)
        if place is None or place in self._by_geometry:
            return None if place is None else self._by_geometry[place]
        return next((one for one in self.given if _is_equal(one, tensor)), None)

    def find_cast(self, call: OpCall) -> Tensor | None:
        """The cast constant that a cast makes again; None where it makes anything else."""
        made = call.outputs[0]
        if call.op != _CAST or made is None:
            return None
        return next((one for one in self._cast if _is_equal(one, made)), None)


def asked(partials: Sequence[Partial], cotangent: Tensor, forward: ForwardValues) -> tuple[list[Tensor], BackwardCalls]:
    """What autograd makes of the cotangent along edges into one output of one head, and how.

    Raises:
        PartialError: the autograd node can no longer be asked.
    """
    with Recorder() as recorder:
        answers = vjps_of(partials, cotangent)
    recorded = {index: recorder.op_call(index) for index in range(len(recorder.calls))}
    calls = list(with_writes_followed(recorder, recorded, answers))
    at, last = recorder.versions.at, len(recorder.calls) - 1
    given, results = at(cotangent, -1), [at(answer, last) for answer in answers]
    known = {id(given)} | {id(output) for call in calls for output in call.outputs if output is not None}
    read = [argument.tensor for call in calls for argument in call.tensor_arguments()]
    outside = {id(tensor): tensor for tensor in (*read, *results) if id(tensor) not in known}
    same = {place: found for place, tensor in outside.items() if (found := forward.find(tensor)) is not None}
    others = tuple(tensor for place, tensor in outside.items() if place not in same and is_inexact(tensor))
    again = {id(call.outputs[0]): found for call in calls if (found := forward.find_cast(call)) is not None}
    calls = [call for call in calls if id(call.outputs[0]) not in again]
    same |= again
    literals = {number for call in calls for number in _numbers(call)} - forward.literals
    rounded = tuple(sorted(number for number in literals if not _is_meant_exactly(number)))
    return answers, BackwardCalls(
        calls=tuple(_with(call, same) for call in calls),
        cotangent=given,
        answers=tuple(same.get(id(result), result) for result in results),
        others=others,
        rounded=rounded if all(map(_holds_short_numbers, others)) else None,
    )


def _with(call: OpCall, same: dict[int, Tensor]) -> OpCall:
    replaced = {
        argument.position: same[id(argument.tensor)] for argument in call.tensor_arguments() if id(argument.tensor) in same
    }
    return with_tensors(call, replaced) if replaced else call


def _geometry(tensor: Tensor) -> Geometry | None:
    if isinstance(tensor, StandIn) or tensor.layout is not torch.strided or not tensor.numel():
        return None
    if tensor.device.type == "meta" or tensor.is_conj() or tensor.is_neg():
        return None
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _is_equal(one: Tensor, other: Tensor) -> bool:
    if isinstance(one, StandIn) or one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    return one.layout is torch.strided and other.layout is torch.strided and torch.equal(one, other)


def _numbers(call: OpCall) -> Iterator[float]:
    for value in (*call.args, *call.kwargs.values()):
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, float):
                yield abs(item)
            elif isinstance(item, complex):
                yield from (abs(item.real), abs(item.imag))


def _is_meant_exactly(number: float) -> bool:
    """Whether the float is a short binary fraction, or has all digits that a float can have."""
    digits = repr(number).partition("e")[0].replace(".", "").strip("0")
    return len(digits) >= _DIGITS or exactly_held(number)


def _holds_short_numbers(tensor: Tensor) -> bool:
    if isinstance(tensor, StandIn):
        return False
    if tensor.layout is not torch.strided or tensor.is_complex():
        return False  # not known
    return torch.equal(tensor.to(torch.bfloat16).to(tensor.dtype), tensor)
