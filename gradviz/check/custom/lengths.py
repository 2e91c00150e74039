"""How long the sums are that a recorded call adds up, forward and on the way back: rounding grows with that."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gradviz.opcall import OpCall, is_inexact
from gradviz.symbolic import method_of

_PRODUCTS = frozenset(
    {
        "addbmm",
        "addmm",
        "addmv",
        "addr",
        "baddbmm",
        "bmm",
        "convolution",
        "convolution_backward",
        "dot",
        "linear",
        "mm",
        "mv",
        "vdot",
    }
)
_ALONG = frozenset({"cumprod", "cumsum", "logcumsumexp"})
_JOINING = frozenset(
    {"logsumexp", "mean", "norm", "linalg_vector_norm", "nansum", "prod", "std", "sum", "sum_to_size", "var", "var_mean"}
)
_REPEATING = frozenset({"embedding", "expand", "gather", "index", "index_select", "repeat"})


def forward_length(call: OpCall) -> float:
    """How many terms the longest sum has that gives an element of a result.

    >>> a, b = torch.ones(2, 300), torch.ones(300, 5)
    >>> forward_length(OpCall(overload=torch.ops.aten.mm.default, args=(a, b), outputs=(a @ b,)))
    300.0
    """
    arguments, results = _sizes(call)
    if not arguments or not results:
        return 1.0
    if call.op in _PRODUCTS:
        largest = sorted(arguments)[-2:]
        return max(1.0, math.sqrt(math.prod(largest) / min(results)))
    if call.op in _JOINING:
        return max(1.0, max(arguments) / min(results))
    return float(_longest_side(call)) if call.op in _ALONG else 1.0


def backward_length(call: OpCall) -> float:
    """How many terms the longest sum has that gives an element of an argument's cotangent; broadcasting left aside.

    >>> x = torch.ones(5)
    >>> backward_length(OpCall(overload=torch.ops.aten.expand.default, args=(x, [300, 5]), outputs=(x.expand(300, 5),)))
    300.0
    """
    arguments, results = _sizes(call)
    if not arguments or not results:
        return 1.0
    if call.op in _PRODUCTS:
        factors = sorted(arguments)[-2:]
        return max(1.0, *(math.sqrt(math.prod(factors) * max(results)) / one for one in factors))
    if call.op in _ALONG:
        return float(_longest_side(call))
    return max(1.0, max(results) / min(arguments)) if call.op in _REPEATING else 1.0


def is_elementwise(call: OpCall) -> bool:
    """Whether arguments are broadcast to the shape of the result."""
    return torch.Tag.pointwise in call.overload.tags


def is_one_pass(call: OpCall) -> bool:
    """Whether its work is a pass or two over its tensors, as of elementwise calls, data movement and sums."""
    return is_elementwise(call) or call.op in _JOINING or method_of(call.overload) == "movement"


def dtype_of_sums(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which torch adds up long sums of elements of `dtype`: those of 16 bits in float32."""
    return torch.float32 if dtype.itemsize == 2 and dtype.is_floating_point else dtype


def _sizes(call: OpCall) -> tuple[list[int], list[int]]:
    """The numbers of elements of the floating arguments and results."""
    return _counts([argument.tensor for argument in call.tensor_arguments()]), _counts(call.outputs)


def _counts(tensors: Sequence[Tensor | None]) -> list[int]:
    return [one.numel() for one in tensors if one is not None and is_inexact(one) and one.numel()]


def _longest_side(call: OpCall) -> int:
    return max((side for output in call.outputs if output is not None for side in output.shape), default=1)
