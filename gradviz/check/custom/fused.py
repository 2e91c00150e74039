"""Calls of torch that lose digits within themselves, in steps: noise on the way says how many, as it does between calls.

Left of −5 the 1 + erf of gelu is rounding alone in float32, and gives 0 beside a true derivative of 1e-6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gradviz.opcall import OpCall

Step = Callable[[Tensor], Tensor]


def in_steps(call: OpCall, tensors: Sequence[Tensor], moved: Step) -> list[Tensor] | None:
    """What the call makes of these tensors; None where it need not be taken apart.

    Args:
        call: as it was recorded.
        tensors: in the places of its tensor arguments.
        moved: moves what is to be added to a number near its negative.
    """
    if call.op == "gelu":
        (x,) = tensors
        return [x * _share(x, _is_by_tanh(call), moved)[0]]
    if call.op == "gelu_backward":
        cotangent, x = tensors
        share, slope = _share(x, _is_by_tanh(call), moved)
        return [cotangent * (share + x * slope)]
    return None


def _is_by_tanh(call: OpCall) -> bool:
    return bool(call.kwargs.get("approximate", "none") == "tanh")


def _share(x: Tensor, is_by_tanh: bool, moved: Step) -> tuple[Tensor, Tensor]:
    """What gelu multiplies x by, and the derivative of that (Hendrycks and Gimpel 2016)."""
    if not is_by_tanh:
        density = torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        return (1 + moved(torch.erf(x / math.sqrt(2)))) / 2, density
    scale = math.sqrt(2 / math.pi)
    bent = moved(torch.tanh(scale * (x + 0.044715 * x**3)))
    return (1 + bent) / 2, (1 - bent) * (1 + bent) / 2 * scale * (1 + 3 * 0.044715 * x**2)
