"""−0 among the arguments whose sign decides (`PointwiseRule.signed`): exact numbers have one zero, which is positive."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gradviz.opcall import OpCall, argument_names
from gradviz.standin import StandIn
from gradviz.symbolic.registry import NoRule, PointwiseRule, find_rule, has_rule


def with_signs_of_zeros(call: OpCall, *, moving: Container[int] = ()) -> OpCall:
    """The call with a tiny negative number in place of each −0 whose sign decides.

    Args:
        call: what ran.
        moving: ids of tensors that expressions stand for.

    Raises:
        NoRule: −0 lies in such a tensor: the value of an expression has no sign there.

    >>> x, y = torch.tensor([3.0, 3.0]), torch.tensor([0.0, -0.0])
    >>> call = with_signs_of_zeros(OpCall(overload=torch.ops.aten.copysign.Tensor, args=(x, y)))
    >>> call.args[1] < 0
    tensor([False,  True])
    """
    deciding = {name: value for name, value in _signed(call) if _holds_negative_zero(value)}
    if not deciding:
        return call
    if any(id(value) in moving for value in deciding.values()):
        raise NoRule(f"an argument of {call.op} holds −0, whose sign decides")
    entered = {name: _without_negative_zero(value) for name, value in deciding.items()}
    names = argument_names(call.overload)
    args = tuple(entered.get(name, value) for name, value in zip(names, call.args, strict=False))
    return replace(call, args=args, kwargs={name: entered.get(name, value) for name, value in call.kwargs.items()})


def _signed(call: OpCall) -> Iterator[tuple[str, Any]]:
    """Name and value of the arguments whose sign decides."""
    rule = find_rule(call.overload) if has_rule(call.overload) else None
    if not isinstance(rule, PointwiseRule) or not rule.signed:
        return
    given = dict(zip(argument_names(call.overload), call.args, strict=False)) | call.kwargs
    yield from ((name, given[name]) for name in rule.signed if name in given)


def _holds_negative_zero(value: Any) -> bool:
    if isinstance(value, StandIn) or not isinstance(value, (Tensor, float)):
        return False
    return bool(_is_negative_zero(torch.as_tensor(value)).any())


def _is_negative_zero(value: Tensor) -> Tensor:
    return (value == 0) & value.signbit()


def _without_negative_zero(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return -math.ulp(0.0)
    return torch.where(_is_negative_zero(value), -torch.finfo(value.dtype).tiny, value)
