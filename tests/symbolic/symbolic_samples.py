"""Inputs for every registered rule: each family's overloads with the arguments that exercise them, kinks avoided."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

aten = torch.ops.aten
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
SAMPLES: dict[OpOverload, list[Arguments]] = {}


def tensor(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> Tensor:
    """Uniform float64 numbers, the same at every call, no two equal."""
    generator = torch.Generator().manual_seed(seed + 17 * len(shape) + sum(shape))
    return torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low


def transposed(*shape: int, **options: Any) -> Tensor:
    return tensor(*reversed(shape), **options).permute(*reversed(range(len(shape))))


def expanded(size: int, times: int, **options: Any) -> Tensor:
    return tensor(size, **options).expand(times, size)


def integers(*values: Any) -> Tensor:
    return torch.tensor(values)


def add(overload: OpOverload, *args: Any, **kwargs: Any) -> None:
    SAMPLES.setdefault(overload, []).append((args, kwargs))


def add_unary(make: Callable[..., OpOverload], low: float, high: float, *extra: Any) -> None:
    """Scalars, vectors, transposed, expanded and empty inputs."""
    for x in (
        tensor(low=low, high=high),
        tensor(5, low=low, high=high),
        transposed(2, 3, low=low, high=high),
        expanded(2, 3, low=low, high=high),
        tensor(0, 3, low=low, high=high),
        tensor(1, 1, low=low, high=high),
    ):
        add(make, x, *extra)


for _name in [
    "neg",
    "_neg_view",
    "_neg_view_copy",
    "abs",
    "sgn",
    "sign",
    "exp",
    "exp2",
    "expm1",
    "square",
    "sin",
    "cos",
    "tan",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "sigmoid",
    "erf",
    "erfc",
    "sinc",
    "deg2rad",
    "rad2deg",
    "floor",
    "ceil",
    "round",
    "trunc",
    "frac",
    "nan_to_num",
    "positive",
    "relu",
    "relu6",
    "selu",
    "silu",
    "mish",
    "hardsigmoid",
    "hardswish",
    "alias_copy",
    "i0",
    "special_i1",
    "special_i1e",
    "special_erfcx",
    "special_log_ndtr",
    "angle",
    "zero",
]:
    add_unary(getattr(aten, _name).default, -1.4, 1.4)
for _decimals in (1, -1):
    add(aten.round.decimals, 20 * tensor(5), decimals=_decimals)
for _name in ["log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal", "lgamma", "digamma"]:
    add_unary(getattr(aten, _name).default, 0.3, 3.0)
add_unary(aten.special_i0e.default, 0.1, 2.0)
add_unary(aten.special_i0e.default, -2.0, -0.1)
add_unary(aten.special_ndtri.default, 0.1, 0.9)
add_unary(aten.frexp.Tensor, 0.1, 9.0)
add_unary(aten.fill.Scalar, -1.0, 1.0, 0.3)
add(aten.fill.Scalar, tensor(2), True)
for _order in range(3):
    add(aten.polygamma.default, _order, tensor(5, low=0.3, high=3.0))
add(aten.special_log_ndtr.default, tensor(5, low=-9.0, high=-2.0))
for _name in ["asin", "acos", "atanh", "erfinv"]:
    add_unary(getattr(aten, _name).default, -0.9, 0.9)
for _name in ["relu6", "hardswish", "hardsigmoid", "silu", "mish", "erf", "erfc", "tanh", "sigmoid", "log_sigmoid_forward"]:
    add(getattr(aten, _name).default, torch.tensor([-8.0, -4.0, -2.5, 2.5, 4.0, 7.0], dtype=torch.float64))
add_unary(aten.acosh.default, 1.1, 3.0)
add_unary(aten.log_sigmoid_forward.default, -3.0, 3.0)
_x = tensor(5, low=-3.0, high=3.0)
add(aten.log_sigmoid_backward.default, tensor(5, seed=1), _x, torch.exp(-_x.abs()))
add_unary(aten.hardtanh.default, -2.0, 2.0)
add_unary(aten.hardtanh.default, -2.0, 2.0, -0.75, 0.25)
add_unary(aten.leaky_relu.default, -2.0, 2.0)
add_unary(aten.leaky_relu.default, -2.0, 2.0, 0.2)
add_unary(aten.elu.default, -2.0, 2.0)
add_unary(aten.elu.default, -2.0, 2.0, 0.7, 1.3, 0.9)
add_unary(aten.celu.default, -2.0, 2.0, 1.5)
add_unary(aten.gelu.default, -3.0, 3.0)
add(aten.gelu.default, tensor(5), approximate="tanh")
add_unary(aten.softplus.default, -3.0, 3.0)
add_unary(aten.softplus.default, -3.0, 3.0, 2.0, 1.5)
add_unary(aten.hardshrink.default, -1.0, 1.0, 0.3)
add_unary(aten.softshrink.default, -1.0, 1.0, 0.3)
add_unary(aten.threshold.default, -1.0, 1.0, 0.1, 20.0)
add_unary(aten.logit.default, 0.1, 0.9)
add_unary(aten.logit.default, 0.01, 0.99, 0.2)
add(aten._prelu_kernel.default, tensor(2, 3), tensor(3, low=0.1))
add(aten.native_dropout.default, tensor(7), 0.4, True)
add(aten.native_dropout.default, tensor(3), 0.4, False)

_PAIRS = [
    (tensor(low=0.5), tensor(low=0.6, seed=1)),
    (tensor(4), tensor(4, seed=1)),
    (tensor(2, 1), tensor(3, seed=2)),
    (transposed(2, 3), tensor(seed=3)),
    (expanded(3, 2), tensor(2, 3, seed=4)),
    (tensor(0, 2), tensor(1, 2, seed=5)),
    (tensor(1), tensor(1, 1, seed=6)),
]
_POSITIVE = [(a.abs() + 0.3, b.abs() + 0.4) for a, b in _PAIRS]
for _a, _b in _PAIRS:
    for _overload in (aten.add.Tensor, aten.sub.Tensor, aten.rsub.Tensor):
        add(_overload, _a, _b)
        add(_overload, _a, _b, alpha=0.7)
    add(aten.nextafter.default, _a, _b)
    for _name in ["maximum", "minimum", "fmax", "fmin", "atan2", "hypot", "logaddexp", "logaddexp2"]:
        add(getattr(aten, _name).default, _a, _b)
    for _overload in (aten.mul.Tensor, aten.div.Tensor, aten.copysign.Tensor, aten.fmod.Tensor, aten.remainder.Tensor):
        add(_overload, _a, _b)
    add(aten.clamp.Tensor, _a, _b - 1, _b + 0.5)
    add(aten.clamp.Tensor, _a, None, _b)
    add(aten.clamp_min.Tensor, _a, _b)
    add(aten.clamp_max.Tensor, _a, _b)
    add(aten.where.self, _b > 0, _a, _b)
    add(aten.lerp.Scalar, _a, _b, 0.3)
    add(aten.lerp.Tensor, _a, _b, tensor(1, 1, seed=9))
    add(aten.addcmul.default, _a, _b, tensor(1, seed=8), value=0.6)
    add(aten.addcdiv.default, _a, _b, tensor(1, seed=8), value=0.6)
for _a, _b in _POSITIVE:
    add(aten.pow.Tensor_Tensor, _a, _b)
    add(aten.xlogy.Tensor, _a, _b)
    add(aten.special_xlog1py.default, _a, _b)
for _x in (tensor(low=0.5), tensor(3), tensor(2, 0)):
    for _overload in (aten.add.Scalar, aten.sub.Scalar, aten.rsub.Scalar):
        add(_overload, _x, 3)
        add(_overload, _x, 1.5, 2)
    for _overload in (aten.mul.Scalar, aten.div.Scalar, aten.fmod.Scalar, aten.remainder.Scalar, aten.copysign.Scalar):
        add(_overload, _x, -0.7)
    add(aten.clamp.default, _x, -0.5, 0.8)
    add(aten.clamp.default, _x, None, 0.8)
    add(aten.clamp_min.default, _x, 0.1)
    add(aten.clamp_max.default, _x, 0.1)
    for _exponent in (2, 3, 1, 0, -1, 2.0):
        add(aten.pow.Tensor_Scalar, _x, _exponent)
    add(aten.pow.Tensor_Scalar, _x.abs() + 0.1, 0.5)
    add(aten.pow.Tensor_Scalar, _x.abs() + 0.1, 2.7)
    add(aten.pow.Scalar, 2, _x)
    add(aten.pow.Scalar, 0.3, _x)
    add(aten.xlogy.Scalar_Self, 1.7, _x.abs() + 0.1)
    add(aten.xlogy.Scalar_Other, _x, 1.7)
    add(aten.special_xlog1py.self_scalar, 1.7, _x.abs() + 0.1)
    add(aten.special_xlog1py.other_scalar, _x, 1.7)
    add(aten.special_entr.default, _x.abs() + 0.1)
    add(aten.where.ScalarOther, _x > 0, _x, 0.5)
    add(aten.where.ScalarSelf, _x > 0, 0.5, _x)
    add(aten.masked_fill.Scalar, _x, _x > 0, -3.0)
    add(aten.masked_fill.Tensor, _x, _x > 0, tensor())
    add(aten.div.Scalar_mode, _x, 0.7, rounding_mode="floor")
    add(aten.div.Tensor_mode, _x, tensor(low=0.5, seed=1), rounding_mode="trunc")
    add(aten.div.Tensor_mode, _x, tensor(low=0.5, seed=1), rounding_mode=None)
add(aten.mul.Tensor, tensor(3), 2)

for _x in (tensor(), tensor(4), transposed(2, 3), expanded(2, 3), tensor(1, 1)):
    for _name in ["sum", "mean", "prod"]:
        add(getattr(aten, _name).default, _x)
    for _name in ["max", "min", "amax", "amin"]:
        if _x.stride() != (0, 1):  # an expanded input has ties
            add(getattr(aten, _name).default, _x)
    add(aten.norm.Scalar, _x, 2)
    add(aten.norm.Scalar, _x, 3)
    for _p in (2, 1, 3, 0.5, 0, float("inf"), float("-inf")):
        if _x.stride() != (0, 1):
            add(aten.linalg_vector_norm.default, _x, _p)
for _x in (transposed(2, 3), tensor(2, 3, 2), tensor(1, 4)):
    add(aten.sum.dim_IntList, _x, [1])
    add(aten.sum.dim_IntList, _x, [-1, 0], True)
    add(aten.sum.dim_IntList, _x, None)
    add(aten.mean.dim, _x, [0])
    add(aten.mean.dim, _x, [0, 1], True)
    add(aten.prod.dim_int, _x, 1)
    add(aten.amax.default, _x, [1], True)
    add(aten.amin.default, _x, [0])
    add(aten.max.dim, _x, 1)
    add(aten.min.dim, _x, -1, True)
    add(aten.var.correction, _x, None)
    add(aten.var.correction, _x, [1], correction=0, keepdim=True)
    add(aten.std.correction, _x, None)
    add(aten.std.correction, _x, [-1], correction=0.5)
    add(aten.var_mean.correction, _x, [1], correction=0)
    add(aten.std_mean.correction, _x, None)
    add(aten.linalg_vector_norm.default, _x, 2, [1], True)
    add(aten.norm.ScalarOpt_dim, _x, 2, [0])
    add(aten.norm.ScalarOpt_dim, _x, 1.5, [1], True)
    add(aten.logsumexp.default, _x, [1])
    add(aten.logsumexp.default, _x, [0, 1], True)
    add(aten.cumsum.default, _x, 1)
    add(aten.cumprod.default, _x, -1)
    add(aten._softmax.default, _x, 1, False)
    add(aten._softmax.default, _x, 0, False)
    add(aten._log_softmax.default, _x, -1, False)
add(aten.sum.default, tensor(0))
add(aten.sum.dim_IntList, tensor(0, 2), [0])
add(aten.prod.default, torch.tensor([2.0, 0.0, 3.0], dtype=torch.float64))
add(aten.trace.default, tensor(3, 2))

add(aten.mm.default, tensor(2, 3), transposed(3, 2, seed=1))
add(aten.mm.default, tensor(1, 1), tensor(1, 4, seed=1))
add(aten.mm.default, tensor(2, 0), tensor(0, 3, seed=1))
add(aten.bmm.default, tensor(2, 2, 3), tensor(2, 3, 2, seed=1))
add(aten.mv.default, transposed(2, 3), tensor(3, seed=1))
add(aten.dot.default, tensor(4), tensor(4, seed=1))
add(aten.vdot.default, tensor(4), tensor(4, seed=1))
for _options in ({}, {"beta": 0.5, "alpha": -2.0}, {"beta": 0}):
    add(aten.addmm.default, tensor(2), tensor(2, 3), tensor(3, 2, seed=1), **_options)
    add(aten.addmv.default, tensor(2), tensor(2, 3), tensor(3, seed=1), **_options)
    add(aten.baddbmm.default, tensor(2, 1, 2), tensor(2, 2, 3), tensor(2, 3, 2, seed=1), **_options)
    add(aten.addbmm.default, tensor(2, 2), tensor(2, 2, 3), tensor(2, 3, 2, seed=1), **_options)
    add(aten.addr.default, tensor(2, 3), tensor(2), tensor(3, seed=1), **_options)
for _a, _b in (((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 2)), ((2, 1, 2, 3), (2, 3, 1)), ((3,), (2, 3, 2))):
    add(aten.matmul.default, tensor(*_a), tensor(*_b, seed=1))
add(aten.linear.default, tensor(2, 3), tensor(2, 3, seed=1), tensor(2, seed=2))
add(aten.linear.default, tensor(2, 2, 3), tensor(2, 3, seed=1))
add(aten.convolution.default, tensor(1, 2, 4), tensor(3, 2, 2), tensor(3), [2], [1], [1], False, [0], 1)
add(aten.convolution.default, tensor(2, 2, 3, 3), tensor(2, 1, 2, 2), None, [1, 1], [0, 1], [2, 1], False, [0, 0], 2)
add(aten.convolution.default, tensor(1, 2, 3), tensor(2, 2, 2), tensor(2), [2], [1], [1], True, [1], 1)
add(aten.convolution.default, tensor(1, 2, 2, 2), tensor(2, 1, 2, 2), None, [1], [0], [1], True, [0], 2)
_heads = [tensor(1, 2, 3, 2), tensor(1, 2, 3, 2, seed=1), tensor(1, 2, 3, 2, seed=2)]
add(aten._scaled_dot_product_flash_attention_for_cpu.default, *_heads)
add(aten._scaled_dot_product_flash_attention_for_cpu.default, *_heads, 0.0, True, scale=0.4)
add(aten._scaled_dot_product_flash_attention_for_cpu.default, *_heads, attn_mask=tensor(3, 3, seed=3))
_ends = torch.tensor([1, 3], dtype=torch.int32)
add(aten._grouped_mm.default, tensor(3, 2), tensor(2, 2, 4, seed=1), _ends)
add(aten._grouped_mm.default, tensor(2, 2, 3), tensor(3, 3, seed=1), _ends)
add(aten._grouped_mm.default, tensor(2, 3), tensor(3, 4, seed=1), _ends)
add(aten._grouped_mm.default, tensor(2, 2, 3), tensor(2, 3, 4, seed=1))

add(aten.nll_loss_forward.default, tensor(3, 4), integers(1, 0, 3), None, 1, -100)
add(aten.nll_loss_forward.default, tensor(3, 4), integers(1, -100, 3), None, 1, -100)
add(aten.nll_loss_forward.default, tensor(3, 4), integers(1, 0, 3), torch.tensor([0.5, 1.0, 2.0, 0.25]).double(), 1, 0)
add(aten.nll_loss_forward.default, tensor(3, 4), integers(1, 2, 3), None, 2, -100)
add(aten.nll_loss_forward.default, tensor(3, 4), integers(1, 2, 3), None, 0, -100)
add(aten.nll_loss2d_forward.default, tensor(2, 3, 1, 2), integers([[0, 2]], [[1, 1]]), None, 1, -100)
_signs = torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, 1.0]], dtype=torch.float64)
for _reduction in (0, 1, 2):
    add(aten.mse_loss.default, tensor(2, 3), tensor(2, 3, seed=1), _reduction)
    add(aten.smooth_l1_loss.default, tensor(2, 3), tensor(2, 3, seed=1), _reduction, 0.8)
    add(aten.huber_loss.default, tensor(2, 3), tensor(2, 3, seed=1), _reduction, 0.8)
    add(aten.soft_margin_loss.default, tensor(2, 3), _signs, _reduction)
    _probability, _target = tensor(2, 3, low=0.1, high=0.9), tensor(2, 3, low=0.1, high=0.9, seed=1)
    add(aten.binary_cross_entropy.default, _probability, _target, None, _reduction)
    add(aten.binary_cross_entropy.default, _probability, _target, tensor(3, low=0.5), _reduction)
    add(aten.binary_cross_entropy_with_logits.default, tensor(2, 3), _target, None, None, _reduction)
    add(
        aten.binary_cross_entropy_with_logits.default,
        tensor(2, 3),
        _target,
        tensor(3, low=0.5),
        tensor(3, low=0.5, seed=3),
        _reduction,
    )
    for _weight in (None, tensor(3, low=0.5, seed=3)):
        _cotangent = tensor(seed=2) if _reduction else tensor(2, 3, seed=2)
        _likelihood = tensor(2, 3, low=0.1, high=0.9)
        add(aten.binary_cross_entropy_backward.default, _cotangent, _likelihood, _target, _weight, _reduction)
add(aten.smooth_l1_loss.default, tensor(3), tensor(3, seed=1), 1, 0.0)

add(aten.native_layer_norm.default, tensor(2, 3), [3], tensor(3), tensor(3, seed=1), 1e-5)
add(aten.native_layer_norm.default, tensor(2, 2, 2), [2, 2], None, None, 1e-5)
add(aten._fused_rms_norm.default, tensor(2, 3), [3], tensor(3), 1e-5)
add(aten._batch_norm_with_update.default, tensor(3, 2), tensor(2), tensor(2, seed=1), tensor(2), tensor(2), 0.1, 1e-5)
add(aten.native_group_norm.default, tensor(2, 4, 2), tensor(4), tensor(4, seed=1), 2, 4, 2, 2, 1e-5)
_statistics = [tensor(2, seed=4), tensor(2, low=0.5, seed=5)]
for _training in (True, False):
    _arguments = [tensor(3, 2), tensor(2), tensor(2, seed=1), *_statistics, _training, 0.1, 1e-5]
    add(aten.native_batch_norm.default, *_arguments)
    add(aten._native_batch_norm_legit.default, *_arguments)
add(aten.native_batch_norm.default, tensor(2, 2, 2), None, None, None, None, True, 0.1, 1e-5)
for _weight, _shape, _mask in ((tensor(3), [3], [True] * 3), (None, [2, 3], [True, False, False])):
    _layer = aten.native_layer_norm(tensor(2, 3), _shape, _weight, _weight, 1e-5)
    _arguments = [tensor(2, 3, seed=2), tensor(2, 3), _shape, *_layer[1:], _weight, _weight, _mask]
    add(aten.native_layer_norm_backward.default, *_arguments)
for _weight, _training in ((tensor(2), True), (None, True), (tensor(2), False)):
    _saved = aten.native_batch_norm(tensor(3, 2, 2), None, None, *_statistics, True, 0.1, 1e-5)[1:]
    _arguments = [tensor(3, 2, 2, seed=2), tensor(3, 2, 2), _weight, *_statistics, *_saved, _training, 1e-5]
    _mask = [True, _weight is not None, _weight is not None]
    add(aten.native_batch_norm_backward.default, *_arguments, _mask)
    if _weight is not None:
        add(aten.batch_norm_backward.default, *_arguments, _mask, torch.empty(0, dtype=torch.uint8))
add(aten._native_batch_norm_legit.no_stats, tensor(3, 2), tensor(2), tensor(2, seed=1), True, 0.1, 1e-5)

for _accumulate in (True, False):
    add(aten.index_put.default, tensor(4, 2), [integers(1, 3)], tensor(2, 2, seed=1), _accumulate)
    add(aten.index_put.default, tensor(3), [torch.tensor([True, False, True])], tensor(seed=1), _accumulate)
add(aten.index_put.default, tensor(3), [integers(1, 1, 0)], tensor(3, seed=1), True)
add(aten.scatter_add.default, tensor(3, 2), 0, integers([0, 1], [0, 2]), tensor(2, 2, seed=1))
add(aten.index_add.default, tensor(3, 2), 0, integers(2, 2), tensor(2, 2, seed=1), alpha=0.5)
add(aten.index_add.default, tensor(2, 3), 1, integers(0, 2), tensor(2, 2, seed=1))
add(aten.embedding_dense_backward.default, tensor(3, 2), integers(1, 1, 0), 3, -1, False)

_sparse = torch.tensor([[0.0, 1.5], [-2.5, 0.0]], dtype=torch.float64)
add(aten._to_sparse.default, _sparse)
add(aten._to_sparse.sparse_dim, _sparse, 1)
add(aten._to_sparse_csr.default, _sparse)
add(aten._to_sparse_csc.default, _sparse)
add(aten._to_dense.default, _sparse.to_sparse())
_held = torch.tensor([1.5, 0.0, -2.0], dtype=torch.float64)
_holds_zero = torch.sparse_coo_tensor([[0, 1, 1], [1, 0, 1]], _held, (2, 2), check_invariants=True)
add(aten._to_dense.default, _holds_zero.coalesce())
add(aten._sparse_addmm.default, tensor(2, 3), _holds_zero.coalesce(), tensor(2, 3, seed=1))
with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")  # said once per process
    _rows = _holds_zero.coalesce().to_sparse_csr()
for _options in ({}, {"beta": 0.5, "alpha": 2.0}, {"beta": 0}):
    add(aten.sparse_sampled_addmm.default, _rows, tensor(2, 3), tensor(3, 2, seed=1), **_options)
_wide_rows = torch.tensor([[0.0, 1.5, -0.5], [0.0, 0.0, 0.0], [2.0, 0.0, 1.0]], dtype=torch.float64).to_sparse_csr()
for _reduce in ("sum", "mean", "amax", "amin"):
    add(aten._sparse_mm_reduce_impl.default, _wide_rows, tensor(3, 2, seed=1), _reduce)
add(aten._sparse_addmm.default, tensor(2, 3), _sparse.to_sparse(), tensor(2, 3, seed=1), beta=0.5, alpha=2.0)
