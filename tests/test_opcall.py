"""Calls that are made past their constructors have all that these would have set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import torch

from gradviz.opcall import OpCall, op_call, tensors_of
from gradviz.partials import Head
from gradviz.recording.record import RecordedCall, Recorder
from gradviz.recording.user_code import Seen
from gradviz.tracing import trace


def test_a_call_is_the_same_by_either_constructor() -> None:
    overload, x = torch.ops.aten.mul.Tensor, torch.ones(2)
    given: dict[str, Any] = {"overload": overload, "args": (x, 2), "kwargs": {"out": x}, "outputs": (x,)}
    quick, whole = op_call(**given), OpCall(**given)
    for field in fields(OpCall):
        assert getattr(quick, field.name) is getattr(whole, field.name)


def test_what_is_recorded_has_a_value_for_each_field() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    with Recorder() as recorder:
        x * x
        assert len(recorder._seen) == len(Seen._fields)
    (call,) = recorder.calls
    assert len(call) == len(RecordedCall._fields) and call.overload is torch.ops.aten.mul.Tensor
    edge = next(iter(trace(lambda x: x * x, x).edges(data=True)))
    assert len(edge[2]["partial"]._head) == len(Head._fields)


def every_overload() -> Iterator[torch._ops.OpOverload]:
    for name in dir(torch.ops.aten):
        packet = getattr(torch.ops.aten, name)
        if isinstance(packet, torch._ops.OpOverloadPacket):
            yield from (getattr(packet, overload) for overload in packet.overloads())


def test_tensors_are_found_wherever_the_schema_has_them() -> None:
    tensor, numbers = torch.ones(2), 0
    for overload in every_overload():
        args: list[Any] = []
        expected: list[str] = []
        for argument in overload._schema.arguments:
            kind = str(argument.type)
            if "List" in kind and "Tensor" in kind:
                args.append([tensor, None, tensor])
                expected += [f"{argument.name}[0]", f"{argument.name}[2]"]
            elif "Tensor" in kind or kind == "number":
                args.append(tensor)
                expected.append(argument.name)
            else:
                args.append(1)
        assert [name for name, _ in tensors_of(overload, tuple(args), {})] == expected, overload
        half = len(args) // 2
        named = {one.name: value for one, value in zip(overload._schema.arguments[half:], args[half:], strict=True)}
        assert [name for name, _ in tensors_of(overload, tuple(args[:half]), named)] == expected, overload
        numbers += len(expected)
    assert numbers > 4000
