"""One edge between tensors -> what matters of its Jacobian, which is never made: its kind, its gain, its share of zeros."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gradviz.moves import moved_as
from gradviz.opcall import OpCall
from gradviz.view.notation import number_text
from gradviz.view.summary import has_norm, kept_statistics, norm

LEAST_ZEROS = 0.005
"""A smaller share of zeros is not worth a word."""
COUNTED = 2**22
"""In a contribution with more elements, as that to the embedding of a language model, zeros are not counted."""
KEEPING = {"transpose", "reshape", "reordering"}
"""Movements that keep every element, whose gain is 1."""
_LINEAR = {
    *("addmm", "addmv", "addbmm", "baddbmm", "addr", "bmm", "mm", "mv", "matmul", "linear", "dot", "vdot", "outer", "ger"),
    *("convolution", "convolution_overrideable", "mkldnn_convolution", "_trilinear", "cumsum", "mean", "sum", "trace"),
    *("avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d", "_fft_c2c", "_fft_r2c"),
    *("upsample_nearest2d", "upsample_bilinear2d", "_fft_c2r", "index_add", "scatter_add"),
}
"""Functions that are linear in each tensor that they read, and neither elementwise nor mere movement."""

_SELECTING = {
    *("max", "min", "amax", "amin", "aminmax", "median", "nanmedian", "mode", "kthvalue", "sort", "topk"),
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("fractional_max_pool2d", "fractional_max_pool3d", "cummax", "cummin"),
}
"""Functions that hand on some of the elements, which their values choose; `amax` shares the gradient among equal ones."""

_NORMS = {
    *("native_layer_norm", "native_group_norm", "native_batch_norm", "_native_batch_norm_legit", "_batch_norm_with_update"),
    *("_native_batch_norm_legit_no_training", "_batch_norm_no_update", "cudnn_batch_norm", "miopen_batch_norm"),
    "_fused_rms_norm",
}
_SCALING = {"weight", "bias"}
"""The arguments of a norm of which each element of the result reads one."""
_ELEMENTWISE = {
    *("_prelu_kernel", "rrelu_with_noise", "native_dropout", "_to_copy", "mse_loss", "binary_cross_entropy", "huber_loss"),
    *("binary_cross_entropy_with_logits", "smooth_l1_loss", "soft_margin_loss", "rsub", "masked_fill", "hardswish", "abs"),
    *("complex", "log_sigmoid_forward", "gelu", "mish", "threshold", "copysign", "where", "xlogy"),
}
"""Elementwise functions, losses unless they are reduced, that torch does not list as such, or not those in place."""
_TRAINED = {"training", "use_input_stats"}
"""Arguments of a batch norm that say whether it takes mean and variance of its input: else each element is scaled alone."""


def jacobian_kind(
    attributes: Mapping[str, Any], argument: str, in_shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> str:
    """In one word: how elements are moved, "selection" also where their values choose some, "elementwise" for a diagonal,
    "broadcast" for a diagonal spread out, "linear" for a matrix that does not depend on the value it is taken at, "dense"
    for any other; "" where the function is not known.

    Args:
        attributes: of the edge's head.
        argument: the name of the head's argument that the edge leads to.
        in_shape, out_shape: of the edge's two ends.
    """
    op, call = attributes["op"], attributes["call"]
    if moved := moved_as(op):
        return moved
    if op in _LINEAR:
        return "linear"
    if op in _SELECTING:
        return "selection"
    spread_out = "elementwise" if in_shape == out_shape else "broadcast"
    if op in _NORMS and argument in _SCALING:
        return spread_out
    if call is None:
        return ""
    if op in _NORMS and argument == "input" and _has_fixed_statistics(call):
        return spread_out
    if torch.Tag.pointwise in call.overload.tags or (op in _ELEMENTWISE and len(out_shape) >= len(in_shape)):
        return spread_out
    return "dense"


def _has_fixed_statistics(call: OpCall) -> bool:
    """Whether a norm takes mean and variance that it was handed: a batch norm that is not in training."""
    arguments = {argument.name: place for place, argument in enumerate(call.overload._schema.arguments)}
    told = {name: place for name, place in arguments.items() if name in _TRAINED}
    flags = [call.args[place] if place < len(call.args) else call.kwargs[name] for name, place in told.items()]
    return not any(flags) if flags else "no_training" in call.op or "no_update" in call.op


def flow_text(contribution: Tensor | None, cotangents: Tensor | tuple[Tensor | None, ...] | None) -> str:
    """What the edge lets through of the cotangent: the quotient of the norms, and how much of it is zero.

    Args:
        contribution: what the edge adds to its tail's cotangent.
        cotangents: what came to its head, per output.

    >>> flow_text(torch.tensor([3.0, 0.0]), torch.tensor([0.0, 6.0])), flow_text(None, torch.ones(2))
    ('gain 0.5, 50 % zeros', '')
    """
    known = [one for one in (cotangents if isinstance(cotangents, tuple) else (cotangents,)) if one is not None]
    if contribution is None or not known or any(not has_norm(one) or not one.numel() for one in (contribution, *known)):
        return ""
    arriving = math.hypot(*map(norm, known))
    words = [f"gain {number_text(norm(contribution) / arriving, 3)}"] if arriving else []
    if contribution.numel() <= COUNTED:
        summed = kept_statistics(contribution)
        zeros = 1 - int(torch.count_nonzero(contribution)) / contribution.numel() if summed is None else summed.zero_share
        words += [_zeros_text(zeros)] if zeros >= LEAST_ZEROS else []
    return ", ".join(words)


def _zeros_text(share: float) -> str:
    """A share in percent that says "100" of nothing but all.

    >>> _zeros_text(0.516), _zeros_text(0.99997), _zeros_text(1)
    ('52 % zeros', 'over 99 % zeros', 'all zeros')
    """
    return "all zeros" if share == 1 else "over 99 % zeros" if share > 0.99 else f"{100 * share:.0f} % zeros"
