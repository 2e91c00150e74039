"""Rules of what the backward pass of a normalization calls, which a second backward pass differentiates.

These calls are given the mean and 1 / sqrt(variance + eps) of the forward pass, and torch takes both for functions of the
input when it differentiates them again: no gradient flows to them themselves. So do these rules, at the recorded numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch

from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.rules.normalization import per_channel
from gradviz.symbolic.rules.reduction import variance
from gradviz.symbolic.tensor import SymbolicTensor

aten = torch.ops.aten
Gradients: TypeAlias = tuple[SymbolicTensor | None, SymbolicTensor | None, SymbolicTensor | None]


def _as_recorded(of_input: SymbolicTensor, recorded: SymbolicTensor) -> SymbolicTensor:
    """A function of the input, moved by the constant that gives it its recorded value."""
    return of_input + (recorded - of_input).as_numbers()


def _mean(x: SymbolicTensor, dims: Sequence[int], recorded: SymbolicTensor) -> SymbolicTensor:
    return _as_recorded(x.mean(dims, keepdim=True), recorded)


def _inverse_spread(x: SymbolicTensor, dims: Sequence[int], recorded: SymbolicTensor) -> SymbolicTensor:
    """1 / sqrt(variance + eps), with the eps that gives its recorded value."""
    spread = variance(x, dims, correction=0, keepdim=True)
    return 1 / _as_recorded(spread, 1 / recorded.square()).sqrt()


def _to_input(
    cotangent: SymbolicTensor, scores: SymbolicTensor, scale: SymbolicTensor, dims: Sequence[int]
) -> SymbolicTensor:
    """What comes back through standard scores over `dims`, of which `scale` is the inverse spread."""
    mean = cotangent.mean(dims, keepdim=True)
    along = (cotangent * scores).mean(dims, keepdim=True)
    return (cotangent - mean - scores * along) * scale


def _to_parameters(
    cotangent: SymbolicTensor, scores: SymbolicTensor, dims: Sequence[int]
) -> tuple[SymbolicTensor, SymbolicTensor]:
    """What comes back to weight and bias, which are broadcast over `dims`."""
    products = cotangent * scores
    return (products.sum(dims), cotangent.sum(dims)) if dims else (products, cotangent)


def _asked_for(gradients: Gradients, output_mask: Sequence[bool]) -> Gradients:
    to_input, to_weight, to_bias = (one if asked else None for one, asked in zip(gradients, output_mask, strict=True))
    return to_input, to_weight, to_bias


@symbolic_rule(aten.native_layer_norm_backward.default)
def native_layer_norm_backward(
    grad_out: SymbolicTensor,
    input: SymbolicTensor,
    normalized_shape: Sequence[int],
    mean: SymbolicTensor,
    rstd: SymbolicTensor,
    weight: SymbolicTensor | None,
    bias: SymbolicTensor | None,
    output_mask: Sequence[bool],
) -> Gradients:
    first = input.ndim - len(normalized_shape)
    dims = range(first, input.ndim)
    scale = _inverse_spread(input, dims, rstd)
    scores = (input - _mean(input, dims, mean)) * scale
    scaled = grad_out if weight is None else grad_out * weight
    to_input = _to_input(scaled, scores, scale, dims)
    return _asked_for((to_input, *_to_parameters(grad_out, scores, range(first))), output_mask)


@symbolic_rule(aten.native_batch_norm_backward.default)
def native_batch_norm_backward(
    grad_out: SymbolicTensor,
    input: SymbolicTensor,
    weight: SymbolicTensor | None,
    running_mean: SymbolicTensor | None,
    running_var: SymbolicTensor | None,
    save_mean: SymbolicTensor | None,
    save_invstd: SymbolicTensor | None,
    train: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> Gradients:
    """Outside of training the running statistics are constants."""
    dims = [dim for dim in range(input.ndim) if dim != 1]
    weights = per_channel(weight, input.ndim)
    scaled = grad_out if weights is None else grad_out * weights
    if train:
        mean, inverse = per_channel(save_mean, input.ndim), per_channel(save_invstd, input.ndim)
        assert mean is not None and inverse is not None, "torch hands on what the forward pass saved"
        scale = _inverse_spread(input, dims, inverse)
        scores = (input - _mean(input, dims, mean)) * scale
        to_input = _to_input(scaled, scores, scale, dims)
    else:
        mean, var = per_channel(running_mean, input.ndim), per_channel(running_var, input.ndim)
        assert mean is not None and var is not None, "there is nothing else to normalize by"
        scale = 1 / (var + eps).sqrt()
        scores = (input - mean) * scale
        to_input = scaled * scale
    return _asked_for((to_input, *_to_parameters(grad_out, scores, dims)), output_mask)


@symbolic_rule(aten.batch_norm_backward.default)
def batch_norm_backward(
    grad_out: SymbolicTensor,
    input: SymbolicTensor,
    weight: SymbolicTensor,
    running_mean: SymbolicTensor | None,
    running_var: SymbolicTensor | None,
    save_mean: SymbolicTensor | None,
    save_var: SymbolicTensor | None,
    update: bool,
    eps: float,
    output_mask: Sequence[bool],
    reserve: SymbolicTensor,
) -> Gradients:
    """`save_var` is the inverse spread here too."""
    given = (running_mean, running_var, save_mean, save_var)
    return native_batch_norm_backward(grad_out, input, weight, *given, update, eps, output_mask)
