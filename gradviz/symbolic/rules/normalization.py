"""Rules of layer, group, batch and RMS normalization: (x - mean) / sqrt(variance + eps) * weight + bias."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.rules.reduction import variance
from gradviz.symbolic.tensor import SymbolicTensor

aten = torch.ops.aten
Normalized = tuple[SymbolicTensor, SymbolicTensor | None, SymbolicTensor | None]
WithStatistics = tuple[SymbolicTensor, SymbolicTensor, SymbolicTensor]


def normalized(x: SymbolicTensor, dims: Sequence[int], eps: float) -> SymbolicTensor:
    """x with mean 0 and variance 1 over `dims`."""
    deviation = x - x.mean(dims, keepdim=True)
    return deviation / (variance(x, dims, correction=0, keepdim=True) + eps).sqrt()


def statistics(
    x: SymbolicTensor, dims: Sequence[int], eps: float, *, keepdim: bool = False
) -> tuple[SymbolicTensor, SymbolicTensor]:
    """The mean and 1 / sqrt(variance + eps) over `dims`."""
    spread = (variance(x, dims, correction=0, keepdim=keepdim) + eps).sqrt()
    return x.mean(dims, keepdim=keepdim), 1 / spread


def _scaled(x: SymbolicTensor, weight: SymbolicTensor | None, bias: SymbolicTensor | None) -> SymbolicTensor:
    scaled = x if weight is None else x * weight
    return scaled if bias is None else scaled + bias


def per_channel(parameter: SymbolicTensor | None, ndim: int) -> SymbolicTensor | None:
    """A vector of one number for each channel, dim 1 of `ndim`, in the shape in which it is broadcast."""
    if parameter is None:
        return None
    return parameter.reshape((1, *parameter.shape, *[1] * (ndim - 2)))


@symbolic_rule(aten.native_layer_norm.default)
def native_layer_norm(
    input: SymbolicTensor,
    normalized_shape: Sequence[int],
    weight: SymbolicTensor | None,
    bias: SymbolicTensor | None,
    eps: float,
) -> WithStatistics:
    dims = range(input.ndim - len(normalized_shape), input.ndim)
    return _scaled(normalized(input, dims, eps), weight, bias), *statistics(input, dims, eps, keepdim=True)


@symbolic_rule(aten._fused_rms_norm.default)
def rms_norm(
    input: SymbolicTensor, normalized_shape: Sequence[int], weight: SymbolicTensor | None, eps: float | None
) -> tuple[SymbolicTensor, None]:
    """x / sqrt(mean(x²) + eps), with float32's own epsilon where none is given."""
    dims = range(input.ndim - len(normalized_shape), input.ndim)
    least = torch.finfo(torch.float32).eps if eps is None else eps
    size = (input.square().mean(dims, keepdim=True) + least).sqrt()
    return _scaled(input / size, weight, None), None


@symbolic_rule(aten.native_group_norm.default)
def native_group_norm(
    input: SymbolicTensor,
    weight: SymbolicTensor | None,
    bias: SymbolicTensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> WithStatistics:
    groups = input.reshape((N, group, C // group * HxW))
    result = normalized(groups, (2,), eps).reshape(input.shape)
    scaled = _scaled(result, per_channel(weight, input.ndim), per_channel(bias, input.ndim))
    return scaled, *statistics(groups, (2,), eps)


def batch_norm(
    x: SymbolicTensor,
    weight: SymbolicTensor | None,
    bias: SymbolicTensor | None,
    mean: SymbolicTensor | None,
    var: SymbolicTensor | None,
    training: bool,
    eps: float,
) -> Normalized:
    """Over all dims but the channels, and its statistics; by the running ones, taken as given, outside of training."""
    measured: tuple[SymbolicTensor | None, SymbolicTensor | None] = (None, None)
    if training or mean is None or var is None:
        dims = [dim for dim in range(x.ndim) if dim != 1]
        result, measured = normalized(x, dims, eps), statistics(x, dims, eps)
    else:
        spread = per_channel(var + eps, x.ndim)
        centre = per_channel(mean, x.ndim)
        assert spread is not None and centre is not None
        result = (x - centre) / spread.sqrt()
    return _scaled(result, per_channel(weight, x.ndim), per_channel(bias, x.ndim)), *measured


@symbolic_rule(aten.native_batch_norm.default, aten._native_batch_norm_legit.default)
def native_batch_norm(
    input: SymbolicTensor,
    weight: SymbolicTensor | None,
    bias: SymbolicTensor | None,
    running_mean: SymbolicTensor | None,
    running_var: SymbolicTensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Normalized:
    """In training the running statistics are only updated; as snapshots from before they do not enter the output."""
    return batch_norm(input, weight, bias, running_mean, running_var, training, eps)


@symbolic_rule(aten._batch_norm_with_update.default)
def batch_norm_with_update(
    input: SymbolicTensor,
    weight: SymbolicTensor | None,
    bias: SymbolicTensor | None,
    running_mean: SymbolicTensor,
    running_var: SymbolicTensor,
    momentum: float,
    eps: float,
) -> tuple[SymbolicTensor | None, ...]:
    """The last output is what a kernel reserves for its backward pass."""
    return *batch_norm(input, weight, bias, None, None, True, eps), None


@symbolic_rule(aten._native_batch_norm_legit.no_stats)
def native_batch_norm_no_stats(
    input: SymbolicTensor,
    weight: SymbolicTensor | None,
    bias: SymbolicTensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Normalized:
    return batch_norm(input, weight, bias, None, None, True, eps)
