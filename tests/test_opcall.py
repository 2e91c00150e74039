"""Calls that are made past their constructors have all that these would have set."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch

from gradviz.opcall import OpCall, op_call
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
