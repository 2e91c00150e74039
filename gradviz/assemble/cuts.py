"""Where no gradient flows: why a recorded call lets none pass."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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


def can_carry_gradient(tensor: Tensor | None) -> bool:
    """Whether a tensor of this dtype can require grad."""
    return tensor is not None and is_inexact(tensor)
