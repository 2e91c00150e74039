"""One recorded aten call, run again with other tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from gradviz.opcall import OpCall, written_arguments
from gradviz.symbolic import NoRule

aten = torch.ops.aten
_REFUSALS = (RuntimeError, TypeError, ValueError, AssertionError, AttributeError, LookupError, ArithmeticError)
"""What kernels raise at tensors that they are not written for, those of the user's own ops among them."""
_THROUGH = {aten.detach.default, aten.lift_fresh.default, aten.detach_.default}


def run_call(call: OpCall, tensors: Sequence[Tensor], *, widen: bool) -> tuple[Tensor | None, ...]:
    """The outputs of the call with other tensors; what it would write to is copied first.

    Args:
        call: what ran.
        tensors: its tensor arguments, by position.
        widen: whether a dtype among its arguments becomes float64 or complex128, as the tensors have.

    Raises:
        NoRule: it draws random numbers, or torch refuses to run it with these tensors.
    """
    overload = call.overload
    refusal = why_not_again(overload)
    if refusal and not _drops_nothing(call):
        raise NoRule(refusal)
    if overload in _THROUGH:
        return (tensors[0].clone(),)
    if overload is aten.as_strided_scatter.default:
        return (_scattered(call, tensors[0], tensors[1]),)
    items = [tensor.clone() for tensor in tensors] if written_arguments(overload) else tensors
    args, kwargs = call.arguments_with(lambda position, _: items[position], _widened if widen else lambda value: value)
    try:
        result = overload(*args, **kwargs)
    except _REFUSALS as error:
        again = "in float64" if widen else "again"
        raise NoRule(f"{overload} cannot be run {again}: {_told(error)}") from error
    if result is None and written_arguments(overload):
        raise NoRule(f"{overload} writes to tensors of a list, each result of which has an autograd node of its own")
    return tuple(result) if isinstance(result, (list, tuple)) else (result,)


def _told(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else f"{type(error).__name__} without a message"


def with_tensors(call: OpCall, replaced: dict[int, Tensor]) -> OpCall:
    """The call with some of its tensor arguments, by position, replaced."""
    args, kwargs = call.arguments_with(lambda position, tensor: replaced.get(position, tensor))
    return OpCall(overload=call.overload, args=args, kwargs=kwargs, outputs=call.outputs)


def _widened(value: Any) -> Any:
    """A dtype as the wide one of its kind."""
    if not isinstance(value, torch.dtype):
        return value
    return torch.float64 if value.is_floating_point else torch.complex128 if value.is_complex else value


def why_not_again(overload: OpOverload) -> str:
    """Why no call of the overload can be run again; "" where it can be tried."""
    if torch.Tag.nondeterministic_seeded in overload.tags:
        return f"{overload} draws random numbers, so it cannot be run again"
    if any(argument.is_out for argument in overload._schema.arguments):
        return f"{overload} writes into a given tensor, which autograd does not follow"
    if not torch._C._dispatch_has_computed_kernel_for_dispatch_key(overload.name(), "CPU"):
        return f"{overload} has no kernel for dense tensors of the CPU, where it would be run again"
    return ""


def _drops_nothing(call: OpCall) -> bool:
    """Whether all that a call would draw random numbers for is dropout, and it is told to drop nothing."""
    arguments = call.overload._schema.arguments
    given = {argument.name: argument.default_value for argument in arguments}
    given |= dict(zip(given, call.args, strict=False)) | call.kwargs
    return any(given.get(name) == 0 for name in ("dropout", "dropout_p"))


def _scattered(call: OpCall, base: Tensor, source: Tensor) -> Tensor:
    """as_strided_scatter by positions: torch's own derivative of it is wrong (seen on 2.13: gradcheck fails)."""
    recorded = next(call.tensor_arguments()).tensor
    layout = torch.empty_strided(recorded.shape, recorded.stride(), dtype=torch.int64)
    positions = layout.copy_(torch.arange(base.numel()).view(base.shape)).as_strided(*call.args[2:])
    flat = base.reshape(-1).index_put((positions.reshape(-1),), source.reshape(-1))
    return flat.reshape(base.shape)
