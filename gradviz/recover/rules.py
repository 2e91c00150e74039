"""The table of `gradviz.recover.replay`: which aten call each class of autograd nodes stands for, by family.

No rule draws random numbers or reads anything but its arguments. What torch's own derivative formulas do not save (the
number of `1 - x`, the fill value of `masked_fill`) has a rule as well, so that the reason can name the argument.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gradviz.recover.bits import same_bits
from gradviz.recover.replay import Parts, Unknown, aten, rule

# --- pointwise, one tensor: parameters such as `negative_slope` are found by name ------------------------------------

_POINTWISE = """
    Abs abs, Acos acos, Acosh acosh, Asin asin, Asinh asinh, Atan atan, Atanh atanh, Ceil ceil, Celu celu,
    ConjPhysical conj_physical, Cos cos, Cosh cosh, Deg2Rad deg2rad, Digamma digamma, Elu elu, Erf erf, Erfc
    erfc, Erfinv erfinv, Exp exp, Exp2 exp2, Expm1 expm1, Floor floor, Frac frac, Gelu gelu, Hardshrink
    hardshrink, Hardsigmoid hardsigmoid, Hardswish hardswish, Hardtanh hardtanh, LeakyRelu leaky_relu, Lgamma
    lgamma, Log log, Log10 log10, Log1P log1p, Log2 log2, Logit logit, LogSigmoid log_sigmoid_forward, Mish
    mish, Neg neg, Rad2Deg rad2deg, Reciprocal reciprocal, Relu relu, Round round, Rsqrt rsqrt, Sgn sgn,
    Sigmoid sigmoid, Sign sign, Silu silu, Sin sin, Sinc sinc, Sinh sinh, Softplus softplus, Softshrink
    softshrink, Sqrt sqrt, Tan tan, Tanh tanh, Threshold threshold, Trunc trunc
"""


def _pointwise_rules() -> None:
    for entry in _POINTWISE.split(","):
        class_stem, op = entry.split()
        rule(f"{class_stem}Backward0", getattr(aten, op).default)
    rule("ClampBackward0", aten.clamp.Tensor, "self min max", optional="min max")
    rule("ClampBackward1", aten.clamp.default)
    rule("ClampMaxBackward0", aten.clamp_max.default)
    rule("ClampMaxBackward1", aten.clamp_max.Tensor, "self max")
    rule("ClampMinBackward0", aten.clamp_min.default)
    rule("ClampMinBackward1", aten.clamp_min.Tensor, "self min")
    rule("NanToNumBackward0", aten.nan_to_num.default)
    rule("MaskedFillBackward0", aten.masked_fill.Scalar)
    rule("MaskedFillBackward1", aten.masked_fill.Tensor, "self value")


# --- pointwise, several tensors --------------------------------------------------------------------------------------


def _arithmetic_rules() -> None:
    for node_class, overload in (
        ("AddBackward0", aten.add.Tensor),
        ("SubBackward0", aten.sub.Tensor),
        ("RsubBackward0", aten.rsub.Tensor),
        ("MulBackward0", aten.mul.Tensor),
        ("DivBackward0", aten.div.Tensor),
        ("DivBackward2", aten.div.Tensor_mode),
        ("Atan2Backward0", aten.atan2.default),
        ("HypotBackward0", aten.hypot.default),
        ("MaximumBackward0", aten.maximum.default),
        ("MinimumBackward0", aten.minimum.default),
        ("FmaxBackward0", aten.fmax.default),
        ("FminBackward0", aten.fmin.default),
        ("LogaddexpBackward0", aten.logaddexp.default),
        ("Logaddexp2Backward0", aten.logaddexp2.default),
        ("XlogyBackward0", aten.xlogy.Tensor),
        ("CopysignBackward0", aten.copysign.Tensor),
        ("RemainderBackward1", aten.remainder.Tensor),
        ("FmodBackward1", aten.fmod.Tensor),
        ("WhereBackward0", aten.where.self),
    ):
        rule(node_class, overload, "self other")
    rule("AddBackward1", aten.add.Scalar)
    rule("SubBackward1", aten.sub.Scalar)
    rule("RsubBackward1", aten.rsub.Scalar)
    rule("MulBackward1", aten.mul.Scalar)
    rule("DivBackward1", aten.div.Scalar)
    rule("RemainderBackward0", aten.remainder.Scalar)
    rule("FmodBackward0", aten.fmod.Scalar)
    rule("PowBackward0", aten.pow.Tensor_Scalar)
    rule("PowBackward1", aten.pow.Tensor_Tensor, "self exponent")
    rule("PowBackward2", aten.pow.Scalar, "exponent")
    rule("LerpBackward0", aten.lerp.Scalar, "self end")
    rule("LerpBackward1", aten.lerp.Tensor, "self end weight")
    rule("AddcmulBackward0", aten.addcmul.default, "self tensor1 tensor2")
    rule("AddcdivBackward0", aten.addcdiv.default, "self tensor1 tensor2")
    rule("PreluKernelBackward0", aten._prelu_kernel.default, "self weight")
    rule("ComplexBackward0", aten.complex.default, "real imag")
    rule("PolarBackward0", aten.polar.default, "abs angle")


# --- reductions and scans --------------------------------------------------------------------------------------------


def _reduction_rules() -> None:
    dtype = {"dtype": Parts.new_dtype}
    rule("SumBackward0", aten.sum.default, given=dtype)
    rule("SumBackward1", aten.sum.dim_IntList, given=dtype)
    rule("MeanBackward0", aten.mean.default, given=dtype)
    rule("MeanBackward1", aten.mean.dim, given=dtype)
    rule("ProdBackward0", aten.prod.default, given=dtype)
    rule("ProdBackward1", aten.prod.dim_int, given=dtype)
    rule("NansumBackward0", aten.nansum.default, given=dtype)
    rule("CumsumBackward0", aten.cumsum.default, given=dtype)
    rule("CumprodBackward0", aten.cumprod.default, given=dtype)
    rule("LinalgVectorNormBackward0", aten.linalg_vector_norm.default, given=dtype)
    rule("NormBackward0", aten.norm.Scalar)
    rule("NormBackward1", aten.norm.ScalarOpt_dim)
    rule("DistBackward0", aten.dist.default, "self other")
    rule("AmaxBackward0", aten.amax.default)
    rule("AminBackward0", aten.amin.default)
    rule("MaxBackward0", aten.max.dim)
    rule("MaxBackward1", aten.max.default)
    rule("MinBackward0", aten.min.dim)
    rule("MinBackward1", aten.min.default)
    rule("CummaxBackward0", aten.cummax.default)
    rule("CumminBackward0", aten.cummin.default)
    rule("LogsumexpBackward0", aten.logsumexp.default)
    rule("LogcumsumexpBackward0", aten.logcumsumexp.default)
    rule("VarBackward0", aten.var.correction)
    rule("StdBackward0", aten.std.correction)
    rule("VarMeanBackward0", aten.var_mean.correction)
    rule("StdMeanBackward0", aten.std_mean.correction)
    rule("TraceBackward0", aten.trace.default)
    rule("SortBackward0", aten.sort.default)
    rule("TopkBackward0", aten.topk.default)


# --- products --------------------------------------------------------------------------------------------------------


def _convolution_bias(parts: Parts) -> Tensor | None:
    """The bias by its edge; a constant bias left only its shape."""
    tail, output = parts.node.next_functions[2]
    if tail is not None:
        return parts.take(tail, output, "bias")
    if parts.attribute("bias_sym_sizes_opt") in (None, [0]):
        return None
    raise Unknown("autograd keeps no record of the constant argument `bias` of convolution")


def _no_dropout(parts: Parts) -> float:
    if parts.attribute("dropout_p") != 0:
        raise Unknown("it draws random numbers (dropout), which are not kept")
    return 0.0


def _product_rules() -> None:
    rule("MmBackward0", aten.mm.default, "self mat2")
    rule("BmmBackward0", aten.bmm.default, "self mat2")
    rule("MvBackward0", aten.mv.default, "self vec")
    rule("DotBackward0", aten.dot.default, "self tensor")
    rule("VdotBackward0", aten.vdot.default, "self other")
    rule("AddmmBackward0", aten.addmm.default, "self mat1 mat2")
    rule("AddmvBackward0", aten.addmv.default, "self mat vec")
    rule("AddrBackward0", aten.addr.default, "self vec1 vec2")
    rule("BaddbmmBackward0", aten.baddbmm.default, "self batch1 batch2")
    rule("AddbmmBackward0", aten.addbmm.default, "self batch1 batch2")
    rule("LinalgDetBackward0", aten._linalg_det.default, "A")
    rule("ConvolutionBackward0", aten.convolution.default, "input weight bias", given={"bias": _convolution_bias})
    rule(
        "ScaledDotProductFlashAttentionForCpuBackward0",
        aten._scaled_dot_product_flash_attention_for_cpu.default,
        "query key value",
        given={"dropout_p": _no_dropout},
        optional="attn_mask",
    )


# --- layers and losses -----------------------------------------------------------------------------------------------

_COMMON_EPS = (1e-5, 1e-6, 1e-12, 1e-8, 1e-3)


def _layer_norm_eps(parts: Parts) -> float:
    """The eps of a layer_norm, which autograd does not keep, found by the reciprocal deviations, which it does.

    The result depends on eps through these numbers alone, so an eps that gives them bit for bit gives the result.
    """
    deviations = parts.saved_tensor("result2")
    for eps in _COMMON_EPS:
        trial = aten.native_layer_norm.default(parts.named["input"], parts.named["normalized_shape"], None, None, eps)
        if isinstance(deviations, Tensor) and same_bits(trial[2], deviations):
            return eps
    raise Unknown("autograd keeps no record of the argument `eps` of native_layer_norm, and it is not a usual one")


def _half_to_float(parts: Parts) -> bool:
    return parts.new_dtype() is not None


def _running_mean(parts: Parts) -> Any:
    """In training the batch's own statistics count, and the running ones have been updated since."""
    return None if parts.attribute("training") else parts.saved_tensor("running_mean")


def _running_var(parts: Parts) -> Any:
    return None if parts.attribute("training") else parts.saved_tensor("running_var")


def _no_momentum(parts: Parts) -> float:
    """It only updates the running statistics; the result does not depend on it."""
    return 0.0


def _output_size(parts: Parts) -> list[int]:
    return parts.shape()[-2:]


def _layer_rules() -> None:
    softmax = {"half_to_float": _half_to_float}
    rule("SoftmaxBackward0", aten._softmax.default, given=softmax)
    rule("LogSoftmaxBackward0", aten._log_softmax.default, given=softmax)
    rule("SafeSoftmaxBackward0", aten._safe_softmax.default, given={"dtype": Parts.new_dtype})
    rule("GluBackward0", aten.glu.default)
    rule(
        "NativeLayerNormBackward0",
        aten.native_layer_norm.default,
        "input weight bias",
        given={"eps": _layer_norm_eps},
        optional="weight bias",
    )
    rule(
        "NativeGroupNormBackward0",
        aten.native_group_norm.default,
        "input weight bias",
        optional="weight",
        doubtful="bias",
    )
    rule(
        "NativeBatchNormBackward0",
        aten.native_batch_norm.default,
        "input weight bias",
        given={"running_mean": _running_mean, "running_var": _running_var, "momentum": _no_momentum},
        optional="weight",
        doubtful="bias",
    )
    rule("EmbeddingBackward0", aten.embedding.default, "weight")
    rule("MaxPool2DWithIndicesBackward0", aten.max_pool2d_with_indices.default)
    rule("AvgPool2DBackward0", aten.avg_pool2d.default)
    rule("AdaptiveAvgPool2DBackward0", aten._adaptive_avg_pool2d.default, given={"output_size": _output_size})
    rule("MseLossBackward0", aten.mse_loss.default, "self target")
    rule("HuberLossBackward0", aten.huber_loss.default, "self target")
    rule("SmoothL1LossBackward0", aten.smooth_l1_loss.default, "self target")
    rule("BinaryCrossEntropyBackward0", aten.binary_cross_entropy.default, "self target", optional="weight")
    rule(
        "BinaryCrossEntropyWithLogitsBackward0",
        aten.binary_cross_entropy_with_logits.default,
        "self target",
        optional="weight pos_weight",
    )
    rule("NllLossBackward0", aten.nll_loss_forward.default, optional="weight")
    rule("NllLoss2DBackward0", aten.nll_loss2d_forward.default, optional="weight")


# --- data movement ---------------------------------------------------------------------------------------------------


def _nothing(parts: Parts) -> None:
    """For an option that changes no element of the result."""


def _false(parts: Parts) -> bool:
    return False


def _offset_in_memory(parts: Parts) -> Any:
    """Of a view whose base was written to: what is known of the base may be a copy, which lies elsewhere in memory."""
    parts.require_proof()
    return parts.attribute("storage_offset")


def _movement_rules() -> None:
    size = {"size": Parts.shape}
    rule("AliasBackward0", aten.alias.default, moves=True)
    rule("ConjBackward0", aten._conj.default, moves=True)
    rule("AsStridedBackward0", aten.as_strided.default, given={"storage_offset": _offset_in_memory}, moves=True)
    rule("ViewBackward0", aten.view.default, given=size, moves=True)
    # What `reshape` makes of a tensor that can be viewed; its strides are those that `view` computes.
    rule("ReshapeAliasBackward0", aten.view.default, given=size, moves=True)
    rule("UnsafeViewBackward0", aten._unsafe_view.default, given=size, moves=True)
    rule("ViewAsRealBackward0", aten.view_as_real.default, moves=True)
    rule("ViewAsComplexBackward0", aten.view_as_complex.default, moves=True)
    rule("ExpandBackward0", aten.expand.default, given={**size, "implicit": _false}, moves=True)
    rule("PermuteBackward0", aten.permute.default, moves=True)
    rule("TBackward0", aten.t.default, moves=True)
    rule("TransposeBackward0", aten.transpose.int, moves=True)
    rule("SqueezeBackward0", aten.squeeze.default, moves=True)
    rule("SqueezeBackward1", aten.squeeze.dim, moves=True)
    rule("SqueezeBackward2", aten.squeeze.dims, moves=True)
    rule("UnsqueezeBackward0", aten.unsqueeze.default, moves=True)
    rule("SelectBackward0", aten.select.int, moves=True)
    rule("SliceBackward0", aten.slice.Tensor, moves=True)
    rule("DiagonalBackward0", aten.diagonal.default, moves=True)
    rule("UnfoldBackward0", aten.unfold.default, moves=True)
    rule("SplitBackward0", aten.split.Tensor, moves=True)
    rule("SplitWithSizesBackward0", aten.split_with_sizes.default, moves=True)
    rule("UnsafeSplitBackward0", aten.unsafe_split.Tensor, moves=True)
    rule("UnbindBackward0", aten.unbind.int, moves=True)
    rule("CatBackward0", aten.cat.default, "tensors*", moves=True)
    rule("StackBackward0", aten.stack.default, "tensors*", moves=True)
    rule("FlipBackward0", aten.flip.default, moves=True)
    rule("RollBackward0", aten.roll.default, moves=True)
    rule("RepeatBackward0", aten.repeat.default, moves=True)
    rule("TrilBackward0", aten.tril.default, moves=True)
    rule("TriuBackward0", aten.triu.default, moves=True)
    rule("DiagEmbedBackward0", aten.diag_embed.default, moves=True)
    rule("IndexBackward0", aten.index.Tensor, moves=True)
    rule("IndexSelectBackward0", aten.index_select.default, moves=True)
    rule("GatherBackward0", aten.gather.default, moves=True)
    rule("TakeBackward0", aten.take.default, moves=True)
    rule("MaskedSelectBackward0", aten.masked_select.default, moves=True)
    rule("ConstantPadNdBackward0", aten.constant_pad_nd.default, moves=True)
    rule("ScatterBackward0", aten.scatter.src, "self src", moves=True)
    rule("ScatterBackward1", aten.scatter.value, moves=True)
    rule("IndexFillBackward0", aten.index_fill.int_Scalar, moves=True)
    rule("CloneBackward0", aten.clone.default, given={"memory_format": _nothing}, moves=True, copies=True)
    rule(
        "ToCopyBackward0",
        aten._to_copy.default,
        given={
            "dtype": Parts.new_dtype,
            "device": Parts.new_device,
            "layout": _nothing,
            "pin_memory": _nothing,
            "non_blocking": _false,
            "memory_format": _nothing,
        },
        moves=True,
        copies=True,
    )


_pointwise_rules()
_arithmetic_rules()
_reduction_rules()
_product_rules()
_layer_rules()
_movement_rules()
