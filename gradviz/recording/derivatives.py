"""What autograd's nodes hand on at the cost of one pass: the op and the arguments that compute it again, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradviz.recording.again import AGAIN_BYTES, LARGE_BYTES, is_result
from gradviz.recording.versions import element_bytes

aten = torch.ops.aten


class Derivative(NamedTuple):
    """How a node computes one of its contributions: it is the first result of `op`.

    Attributes:
        op: what torch's derivatives.yaml names.
        saved: the tensors that the node saved and `op` reads, by torch's names for them.
        arguments: the positional ones, from the node, the cotangent and the saved tensors; None where these do not serve.
        kwargs: the others, from the node.
        slot: which contribution it is.
        is_pointwise: whether it has the shape of the cotangent, unless broadcasting is undone afterwards.
        least_bytes: contributions from this size on are computed again; smaller ones take less time to keep.
    """

    op: torch._ops.OpOverload
    saved: tuple[str, ...]
    arguments: Callable[..., tuple[Any, ...] | None] = lambda node, cotangent, *saved: (cotangent, *saved)
    kwargs: Callable[[Any], dict[str, Any]] = lambda node: {}
    slot: int = 0
    is_pointwise: bool = True
    least_bytes: int = AGAIN_BYTES

    def read(self, node: Any) -> list[Tensor | None] | None:
        """The saved tensors, small ones copied; None where one may be another when it is read later.

        A hook may have packed it, or it looks at the memory of a leaf or a constant, which optimizers and loaders write to.
        This runs between the kernels of a backward pass, and falls out of the caches between them: it does little.
        """
        found: list[Tensor | None] = []
        for name in self.saved:
            if getattr(node, f"_raw_saved_{name}").unpack_hook is not None:
                return None
            saved: Tensor | None = getattr(node, f"_saved_{name}")
            if saved is None:
                found.append(None)
            elif name not in _BESIDE_A_RESULT and element_bytes(saved) < AGAIN_BYTES:
                found.append(saved.detach().clone())
            elif name in _BESIDE_A_RESULT or is_result(saved):
                found.append(saved.detach())
            else:
                return None
        return found


def _of_product(node: Any, cotangent: Tensor, other: Tensor) -> tuple[Any, ...]:
    return (cotangent, other.conj())  # of real numbers `other` itself


def _of_relu(node: Any, cotangent: Tensor, result: Tensor) -> tuple[Any, ...]:
    return (cotangent, result, 0)


def _of_hardtanh(node: Any, cotangent: Tensor, x: Tensor) -> tuple[Any, ...]:
    return (cotangent, x, node._saved_min_val, node._saved_max_val)


def _of_batch_norm(
    node: Any, cotangent: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse_std: Tensor
) -> tuple[Any, ...]:
    running: tuple[Tensor | None, Tensor | None] = (None, None)  # what a training step does not read
    if not node._saved_training:
        running = (node._saved_running_mean.clone(), node._saved_running_var.clone())
    return (cotangent, x, weight, *running, mean, inverse_std, node._saved_training, node._saved_eps, _INPUT_ALONE)


def _of_layer_norm(node: Any, cotangent: Tensor, x: Tensor, *saved: Tensor | None) -> tuple[Any, ...]:
    return (cotangent, x, node._saved_normalized_shape, *saved, _INPUT_ALONE)


def _of_group_norm(node: Any, cotangent: Tensor, x: Tensor, *saved: Tensor | None) -> tuple[Any, ...] | None:
    if not (cotangent.is_contiguous() and x.is_contiguous()):  # autograd makes them so first
        return None
    return (cotangent, x, *saved, node._saved_N, node._saved_C, node._saved_HxW, node._saved_group, _INPUT_ALONE)


def _of_softmax(node: Any, cotangent: Tensor, result: Tensor) -> tuple[Any, ...]:
    return (cotangent, result, _signed(node._saved_dim), result.dtype)


def _of_nll_loss(node: Any, cotangent: Tensor, *saved: Tensor | None) -> tuple[Any, ...]:
    *read, total_weight = saved
    return (cotangent, *read, node._saved_reduction, _signed(node._saved_ignore_index), total_weight)


def _of_embedding(node: Any, cotangent: Tensor, indices: Tensor) -> tuple[Any, ...] | None:
    if node._saved_sparse or cotangent.device.type != "cpu":  # elsewhere rows may be added in another order next time
        return None
    rows, padding_idx = node._saved_weight_sym_argsize_0, _signed(node._saved_padding_idx)
    return (cotangent, indices, rows, padding_idx, node._saved_scale_grad_by_freq)


def _signed(number: int) -> int:
    """Torch tells the negative options that a node saved as unsigned numbers of 64 bits."""
    return number - 2**64 if number >= 2**63 else number


_BESIDE_A_RESULT = frozenset({"result1", "result2"})
"""What a norm made beside its result, a mean and a spread, and keeps to itself: nobody writes to it."""
_INPUT_ALONE = [True, False, False]
_SCORES = ("self", "target", "weight", "total_weight")
_SOFTMAX = Derivative(aten._softmax_backward_data.default, ("result",), _of_softmax)

_OF_NODES: dict[str, tuple[Derivative, ...]] = {
    "ReluBackward0": (Derivative(aten.threshold_backward.default, ("result",), _of_relu),),
    "HardtanhBackward0": (Derivative(aten.hardtanh_backward.default, ("self",), _of_hardtanh),),
    "SiluBackward0": (Derivative(aten.silu_backward.default, ("self",)),),
    "GeluBackward0": (
        Derivative(aten.gelu_backward.default, ("self",), kwargs=lambda node: {"approximate": node._saved_approximate}),
    ),
    "TanhBackward0": (Derivative(aten.tanh_backward.default, ("result",), least_bytes=LARGE_BYTES),),
    "SigmoidBackward0": (Derivative(aten.sigmoid_backward.default, ("result",), least_bytes=LARGE_BYTES),),
    "MulBackward0": (
        Derivative(aten.mul.Tensor, ("other",), _of_product, least_bytes=LARGE_BYTES),
        Derivative(aten.mul.Tensor, ("self",), _of_product, slot=1, least_bytes=LARGE_BYTES),
    ),
    "DivBackward0": (Derivative(aten.div.Tensor, ("other",), _of_product, least_bytes=LARGE_BYTES),),
    "SoftmaxBackward0": (_SOFTMAX,),
    "SafeSoftmaxBackward0": (_SOFTMAX,),
    "LogSoftmaxBackward0": (Derivative(aten._log_softmax_backward_data.default, ("result",), _of_softmax),),
    "NllLossBackward0": (Derivative(aten.nll_loss_backward.default, _SCORES, _of_nll_loss, is_pointwise=False),),
    "NllLoss2DBackward0": (Derivative(aten.nll_loss2d_backward.default, _SCORES, _of_nll_loss, is_pointwise=False),),
    "EmbeddingBackward0": (
        Derivative(aten.embedding_dense_backward.default, ("indices",), _of_embedding, is_pointwise=False),
    ),
    "NativeBatchNormBackward0": (
        Derivative(
            aten.native_batch_norm_backward.default,
            ("input", "weight", "result1", "result2"),
            _of_batch_norm,
        ),
    ),
    "NativeLayerNormBackward0": (
        Derivative(
            aten.native_layer_norm_backward.default, ("input", "result1", "result2", "weight", "bias"), _of_layer_norm
        ),
    ),
    "NativeGroupNormBackward0": (
        Derivative(aten.native_group_norm_backward.default, ("input", "result1", "result2", "weight"), _of_group_norm),
    ),
}
DERIVATIVES = {name: {one.slot: one for one in derivatives} for name, derivatives in _OF_NODES.items()}
"""Type of node -> slot -> what computes that contribution; what is not named is kept."""
