"""Where no gradient flows: why a recorded call lets none pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradviz.attributes import NO_WAY
from gradviz.opcall import is_inexact, op_name
from gradviz.recording.record import RecordedCall


def cut_at(call: RecordedCall, outputs: Sequence[Tensor], *, is_differentiated: bool) -> str:
    """Why no gradient passes a call with these outputs; "" where one does, as far as the call itself goes."""
    if op_name(call.overload) == "detach":
        return "detach"
    if not call.grad_enabled:
        return "no_grad"
    if is_differentiated:
        return ""
    if outputs and not any(map(can_carry_gradient, outputs)):  # as of a comparison, or of argmax
        return "boolean" if all(output.dtype == torch.bool for output in outputs) else "integer"
    return "not differentiable"


def cut_before(call: RecordedCall, requires_grad: bool) -> str:
    """Why no gradient flows from a call without gradient to an argument that requires it or not."""
    if not requires_grad:
        return "constant"
    outputs = [output for output in call.outputs if output is not None]
    return cut_at(call, outputs, is_differentiated=call.sequence >= 0) or NO_WAY


def can_carry_gradient(tensor: Tensor | None) -> bool:
    """Whether a tensor of this dtype can require grad."""
    return tensor is not None and is_inexact(tensor)
