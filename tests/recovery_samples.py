"""Torch code for the tests of recovery: named functions of leaves, and the truth about every node that they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils._python_dispatch import TorchDispatchMode


class Truth(TorchDispatchMode):
    """Keeps a copy of what every call returned, by the sequence number of the autograd node made for it."""

    def __init__(self) -> None:
        super().__init__()
        self.results: dict[int, list[Tensor]] = {}
        self._copied = self._resolved = -1

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, (tuple, list)) else (result,)
        sequence = torch._C._autograd._get_sequence_nr() - 1
        if sequence == self._copied and func._schema.name.endswith("_"):
            # An in-place op that saves its argument copies it first, and the node of that copy comes after its own.
            sequence -= 1
        if sequence not in self.results or sequence == self._resolved:
            self.results[sequence] = [part.clone() for part in parts if isinstance(part, Tensor)]
        if func._schema.name.endswith("_") and args[0]._base is not None:
            # The node of a write to a view, `CopySlices`, stands for the whole base and comes next.
            self.results[torch._C._autograd._get_sequence_nr()] = [args[0]._base.clone()]
        is_copy = func is torch.ops.aten.clone.default
        self._copied = sequence if is_copy else -1
        # An op that does not know lazy conjugation has its argument copied first, below its own node.
        self._resolved = sequence if is_copy and args[0].is_conj() else -1
        return result


def true_value(truth: Truth, node: Node, output: int) -> Tensor | None:
    """What the call behind `node` returned."""
    if hasattr(node, "variable"):
        return node.variable.detach()
    results = truth.results.get(node._sequence_nr())
    return None if results is None else results[output]


def forward_order(*roots: Node) -> list[Node]:
    """All nodes that the roots reach, producers first."""
    ordered: dict[Node, None] = {}
    pending = [(root, False) for root in roots]
    while pending:
        node, is_done = pending.pop()
        if is_done:
            ordered[node] = None
        elif node not in ordered:
            pending.append((node, True))
            pending.extend((tail, False) for tail, _ in node.next_functions if tail is not None and tail not in ordered)
    return list(ordered)


aten = torch.ops.aten
Sample = Callable[[Tensor, Tensor], Tensor]

UNARY = """
    abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor frac lgamma
    log log10 log1p log2 logit neg rad2deg reciprocal relu round rsqrt sgn sigmoid sign sin sinc sinh sqrt tan tanh trunc
"""
ACTIVATIONS = """
    celu elu gelu glu hardshrink hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish relu6 selu silu softplus
    softshrink softsign tanhshrink
"""

# `x` and `y` have shape (4, 6) and elements between 0.1 and 0.9. The result of every function but the last is used by a
# product, which saves its arguments: so what is recomputed is compared with the truth and is not just read.
SAMPLES: dict[str, Sample] = {
    **{name: lambda x, y, name=name: getattr(torch, name)(x * y) for name in UNARY.split()},
    **{f"F.{name}": lambda x, y, name=name: getattr(F, name)(x - y) for name in ACTIVATIONS.split()},
    "add": lambda x, y: torch.add(x.sin(), y, alpha=2) + x,
    "sub": lambda x, y: torch.sub(x, y, alpha=0.5) - y,
    "mul": lambda x, y: x * y * 3 * 0.25 * torch.tensor(2.0) * True,
    "mul in another dtype": lambda x, y: (x.float() * torch.tensor(2.0, dtype=torch.float64)).sum() * 2,
    "div": lambda x, y: x / y / 3 / torch.full((6,), 0.3),
    "div rounded": lambda x, y: torch.div(x + y, y, rounding_mode="floor"),
    "rational": lambda x, y: 1 / (x * y) - (x**2 + y**3.5) / (x**y + 2**x),
    "two arguments": lambda x, y: torch.atan2(x, y) * torch.hypot(x, y) + torch.logaddexp(x, y) * torch.xlogy(x, y),
    "extrema": lambda x, y: torch.maximum(x, y) * torch.minimum(x, y) + torch.fmax(x, y) * torch.fmin(x, y),
    "remainder": lambda x, y: torch.fmod(x + y, y) + torch.remainder(x + y, y),
    "lerp": lambda x, y: torch.lerp(x, y, 0.3) * torch.lerp(x, y, x),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=2) * torch.addcdiv(x, x, y, value=0.5),
    "where": lambda x, y: torch.where(x > y, x.exp(), y) + torch.where(x < y, x, y),
    "clamp": lambda x, y: x.clamp(0.3, 0.7) + x.clamp_min(0.4) + y.clamp_max(0.5) + torch.clamp(x, y * 0.5, y * 1.5),
    "clamp to one tensor": lambda x, y: torch.clamp(x, max=torch.full((6,), 0.5)) + torch.clamp(x, min=y) * y,
    "clamp a constant": lambda x, y: torch.clamp(torch.full((4, 6), 0.5), min=x, max=torch.full((6,), 0.7)) * y,
    "sum": lambda x, y: (x + y).sum() + (x + y).sum(-1).sum() + (x + y).sum((0, 1), keepdim=True).sum(),
    "sum in another dtype": lambda x, y: (x.float() + y.float()).sum(dtype=torch.float64) * 2,
    "mean": lambda x, y: (x + y).mean() + (x + y).mean(-1, keepdim=True).sum() + (x - y).mean(0).sum(),
    "prod": lambda x, y: (x + y).prod() + (x + y).prod(-1).sum(),
    "max": lambda x, y: (x + y).max() + (x + y).max(-1).values.sum() + (x + y).amax((0, 1)),
    "min": lambda x, y: (x + y).min() + (x + y).min(0, keepdim=True)[0].sum() + (x + y).amin(-1).sum(),
    "logsumexp": lambda x, y: (x + y).logsumexp(-1).sum() + (x + y).logcumsumexp(0).sum(),
    "norm": lambda x, y: (x + y).norm() + (x + y).norm(1, -1).sum() + torch.dist(x, y) + torch.linalg.vector_norm(x - y, 3),
    "var": lambda x, y: (x + y).var() + (x + y).var(-1).sum() + (x - y).std(0, correction=0).sum() + (x - y).std(),
    "var_mean": lambda x, y: sum(part.sum() for part in torch.var_mean(x + y, -1)) + torch.std_mean(x - y, 0)[0].sum(),
    "scan": lambda x, y: (x + y).cumsum(-1) + (x + y).cumprod(0) + (x + y).cummax(-1)[0] + (x + y).cummin(0)[0],
    "trace": lambda x, y: (x + y)[:, :4].trace() * 2,
    "mm": lambda x, y: (x + y) @ y.t() @ torch.full((4, 3), 0.3),
    "vectors": lambda x, y: (x.sin() @ y[0]).dot(x[:, 0]) + torch.outer(x[0], y[1]).sum() + torch.vdot(x[0], y[0]),
    "bmm": lambda x, y: torch.bmm(x.view(2, 2, 6) + 1, y.view(2, 6, 2)) * torch.matmul(x.view(2, 2, 6), y.view(2, 6, 2)),
    "addmm": lambda x, y: torch.addmm(x[:, :4], x, y.t(), beta=0.5, alpha=2) + torch.addmv(x[:, 0], y, x[0]),
    "baddbmm": lambda x, y: torch.baddbmm(x.view(2, 6, 2), y.view(2, 6, 2), y.view(2, 2, 6)[..., :2], alpha=0.1),
    "addr": lambda x, y: torch.addr(x, x[:, 0], y[0]) * torch.addbmm(x[:2, :2], y.view(2, 2, 6), x.view(2, 6, 2)).sum(),
    "einsum": lambda x, y: torch.einsum("ij,kj->ik", x + 1, y) + torch.einsum("ij,ij->", x, y),
    "linear": lambda x, y: F.linear(x + y, y) * F.linear(x.view(2, 2, 6), y, x[:, 0]).sum(),
    "views": lambda x, y: (x + y).view(24).reshape(2, 12).t().unsqueeze(0).squeeze(0).transpose(0, 1) * 2,
    "permute": lambda x, y: (x + y).view(2, 2, 6).permute(-1, 0, 1).movedim(0, 1).flatten(1) * 2,
    "squeeze": lambda x, y: (
        (x + y)[:, None].squeeze(1) + (x - y)[:, None].squeeze() + (x * 2)[None, :, None].squeeze((0, 2))
    ),
    "reshape of a transposed": lambda x, y: (x + y).t().reshape(-1).view(4, 6) + y.t().contiguous().view(4, 6),
    "sum of a copied transposed": lambda x, y: (x + y).t().contiguous().sum(0).sum() + (x - y).t().clone().exp().sum(),
    "expand": lambda x, y: (x[:1] + 1).expand(4, 6) + y[:, :1].expand(-1, 6) + x.sum().expand(4, 6),
    "broadcast": lambda x, y: x[0] + y[:, :1] + x.mean(),
    "slices": lambda x, y: (x + y)[1:3, ::2] + (x - y)[-2:, -3:] + (x * 2)[:2, 0:3] + (y + x)[..., 3:][:2],
    "as_strided": lambda x, y: (x + y).as_strided([2, 3], [6, 1], 1).square().sum() + (x - y).as_strided([2], [1]).sum(),
    "select": lambda x, y: (x + y)[-1] + (x - y)[:, 1].sum() + (x + y).diagonal().sum() + (x + y).unfold(0, 2, 1).sum(),
    "split": lambda x, y: (
        sum(part.sum() for part in (x + y).split(2)) + (x - y).split([1, 5], -1)[1].sum() + (x + y).chunk(2)[1].sum()
    ),
    "unbind": lambda x, y: (x + y).unbind()[1] * (x - y).unbind(-2)[-1],
    "cat": lambda x, y: torch.cat([x + y, x, y], -1).exp().sum() + torch.stack([x - y, x], -1).sum(),
    "index": lambda x, y: (x + y)[[0, 2]] * (x - y)[torch.tensor([1, 3])] + (x + y)[:, torch.tensor([0])][:2],
    "mask": lambda x, y: (x + y)[x > 0.4].sum() + (x - y).masked_select(y > 0.4).sum(),
    "gather": lambda x, y: (x + y).gather(1, torch.zeros(4, 6, dtype=torch.long)) + (x - y).index_select(0, torch.arange(4)),
    "flip": lambda x, y: (x + y).flip(0) + (x + y).roll(1, -1) + (x - y).tril() + (x - y).triu(1) + (x + y).repeat(2, 1)[:4],
    "copies": lambda x, y: (x + y).clone() * (x - y).float().double() + (x - y).contiguous(),
    "softmax": lambda x, y: (x + y).softmax(-1) + (x - y).log_softmax(0) + (x + y).softmax(0, dtype=torch.float32),
    "mse": lambda x, y: F.mse_loss(x + y, y) + F.mse_loss(x, torch.full((4, 6), 0.5), reduction="sum") + F.l1_loss(x, y),
    "smooth losses": lambda x, y: F.smooth_l1_loss(x + y, y) + F.huber_loss(x, y, delta=0.1),
    "bce": lambda x, y: F.binary_cross_entropy(x, y) + F.binary_cross_entropy(x * y, y.detach(), weight=x.detach()),
    "bce with logits": lambda x, y: F.binary_cross_entropy_with_logits(x + y, y, pos_weight=torch.full((6,), 2.0)),
    "bce of a constant": lambda x, y: F.binary_cross_entropy_with_logits(
        torch.full((4, 6), 0.2), x, weight=torch.full((6,), 0.3), pos_weight=torch.full((6,), 2.0)
    ),
    "nll": lambda x, y: (
        F.cross_entropy(x + y, torch.tensor([0, 5, -100, 2]))
        + F.nll_loss(x.log(), torch.tensor([0, 1, 2, 3]), weight=torch.arange(6.0))
    ),
    "layer_norm": lambda x, y: F.layer_norm(x + y, (6,), y[0], x[0]) + F.layer_norm(x, (6,), eps=1e-12) * 2,
    "layer_norm with constants": lambda x, y: F.layer_norm(x, (6,), torch.full((6,), 2.0), torch.full((6,), 0.5)) * y,
    "layer_norm of a constant": lambda x, y: F.layer_norm(torch.eye(6)[:4], (6,), torch.full((6,), 2.0), x[0]) * y,
    "layer_norm with an odd eps": lambda x, y: F.layer_norm(x + y, (6,), eps=0.03) + y,
    "batch_norm": lambda x, y: (
        F.batch_norm(x + y, None, None, y[0], x[0], training=True) * F.batch_norm(x, None, None, training=True)
    ),
    "batch_norm with constants": lambda x, y: (
        F.batch_norm(x + y, None, None, torch.full((6,), 2.0), torch.ones(6), True) + y
    ),
    "batch_norm in evaluation": lambda x, y: F.batch_norm(x + y, torch.zeros(6), torch.ones(6), y[0], x[0]) + y,
    "group_norm": lambda x, y: F.group_norm(x + y, 2, y[0], x[0]) * F.group_norm(x, 3, bias=torch.ones(6)),
    "embedding": lambda x, y: F.embedding(torch.tensor([0, 3, 1, 1]), x + y, padding_idx=0) * y,
    "conv": lambda x, y: F.conv1d(x.view(1, 4, 6) + 1, y.view(4, 2, 3), y[:, 0], padding=1, groups=2).view(4, 6) * x,
    "conv with a constant bias": lambda x, y: F.conv1d(x.view(2, 2, 6) + 1, y.view(6, 2, 2), torch.ones(6)).sum() + y,
    "pooling": lambda x, y: (
        F.max_pool2d((x + y)[None], 2) + F.avg_pool2d((x - y)[None], 2) + F.adaptive_avg_pool2d(x[None], (2, 3))
    ),
    "dropout": lambda x, y: F.dropout(x + y, 0.5) * 2 + F.dropout(x - y, 0.3),
    "attention": lambda x, y: F.scaled_dot_product_attention(*(part.view(1, 2, 2, 6) for part in (x + 1, y, x))) * 2,
    "in-place": lambda x, y: (x + y).mul_(3).add_(x).sin_().clamp_(min=0.2).sqrt() * y,
    "masked_fill": lambda x, y: (x + y).masked_fill(x > 0.5, 0.25).exp() + F.pad(x + y, (1, 1), value=0.5)[:, 1:-1],
    "scatter": lambda x, y: (
        (x + y).scatter(0, torch.zeros(1, 6, dtype=torch.long), 0.5) + (x - y).index_fill(0, torch.tensor([1]), 2.0)
    ),
    "slice assignment": lambda x, y: _assigned(x + y, y * 2).exp() * 2,
    "sort": lambda x, y: (x + y).sort(-1)[0] + (x - y).topk(6)[0],
    "complex": lambda x, y: (torch.complex(x, y) * 2j).conj().abs() + torch.polar(x, y).real,
    "aten called by hand": lambda x, y: aten.div.Scalar(aten.sub.Scalar(aten.add.Scalar(x, 2), 1), 3) + aten.alias(x + y),
    "old norms": lambda x, y: aten.norm.Scalar(x + y, 2) + aten.norm.ScalarOpt_dim(x - y, 2, [1]).sum() + (x + y).nansum(),
    "rsub": lambda x, y: torch.rsub(x, y, alpha=2) * torch.copysign(x, y - 0.5) * torch.logaddexp2(x, y),
    "moduli of numbers": lambda x, y: torch.fmod(x, 0.3) * torch.remainder(y, 0.3) + F.threshold(x, 0.5, 0.1) * y,
    "clamps by hand": lambda x, y: torch.clamp_min(x, y).exp() + torch.clamp_max(x, y * 2).exp() + torch.nan_to_num(x + y),
    "prelu": lambda x, y: F.prelu(x - y, torch.full((6,), 0.2)) * F.prelu(x - y, x[0]),
    "diag_embed": lambda x, y: (x + y).diag_embed().sum() + (x + y).take(torch.tensor([0, 5])).prod(),
    "fill by a tensor": lambda x, y: (
        (x + y).masked_fill(x > 0.5, y[0, 0]) * (x + y).scatter(0, torch.zeros(1, 6).long(), y * 2)
    ),
    "complex pairs": lambda x, y: torch.view_as_complex(torch.stack([x, y], -1)).conj_physical().mul(2).abs() * 2,
    "nll of images": lambda x, y: F.nll_loss((x + y).view(1, 2, 3, 4), torch.zeros(1, 3, 4, dtype=torch.long)) * 2,
    "determinant": lambda x, y: torch.linalg.inv(x[:, :4] + torch.eye(4)).sum() + torch.linalg.det(y[:, :4]),
    "constants": lambda x, y: (1 - x) * 2 + (x + 3) + torch.full((4, 6), 0.7) - y,
    "half precision": lambda x, y: ((x.bfloat16() @ y.bfloat16().t()).float().softmax(-1) + 1).log().sum(),
    "autocast": lambda x, y: _autocast(x.float(), y.float()),
    "mlp": lambda x, y: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1), nn.Sigmoid())(x + y).mean(),
    "cnn": lambda x, y: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.Flatten(0))(
        (x + y)[None, None]
    ).sum(),
    "transformer": lambda x, y: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)((x + y)[None]).square().mean(),
    "lstm": lambda x, y: nn.LSTM(6, 3)(x + y)[0].square().sum(),
}


def _assigned(target: Tensor, source: Tensor) -> Tensor:
    target[1, 2:] = source[0, :4]
    return target


def _autocast(x: Tensor, y: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return ((x + y) @ y.t()).softmax(-1).sum()


def leaves(seed: int = 0) -> tuple[Tensor, Tensor]:
    """The arguments of a sample; modules in the samples draw their parameters from the same seed."""
    torch.manual_seed(seed)
    x, y = (torch.rand(4, 6, dtype=torch.float64) * 0.8 + 0.1 for _ in range(2))
    return x.requires_grad_(), y.requires_grad_()
