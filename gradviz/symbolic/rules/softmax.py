"""Rules of softmax, log-softmax and the losses on class scores."""

from __future__ import annotations

import torch

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.indexing import normalized_dims
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten


def softmax(x: SymbolicTensor, dim: int) -> SymbolicTensor:
    """exp(x) / Σ exp(x) along `dim`, with the largest value taken out as a constant, which changes nothing."""
    powers = (x - x.amax(dim, keepdim=True).as_numbers()).exp()
    return powers / powers.sum(dim, keepdim=True)


@symbolic_rule(aten._softmax.default)
def softmax_rule(self: SymbolicTensor, dim: int, half_to_float: bool) -> SymbolicTensor:
    return softmax(self, dim)


@symbolic_rule(aten._safe_softmax.default)
def safe_softmax(self: SymbolicTensor, dim: int, dtype: torch.dtype | None = None) -> SymbolicTensor:
    """softmax; 0 along a line of nothing but minus infinity."""
    plain, top = softmax(self, dim), self.amax(dim, keepdim=True)
    (axis,) = normalized_dims(dim, self.ndim) or (0,)

    def pull(at: Index) -> Scalar:
        line = (*at[:axis], 0, *at[axis + 1 :]) if at else at
        return sc.ZERO if top[line].approximate == float("-inf") else plain[at]

    return SymbolicTensor(self.shape, pull, plain.many)  # of minus infinities not a number, and then looked at one by one


@symbolic_rule(aten._log_softmax.default)
def log_softmax(self: SymbolicTensor, dim: int, half_to_float: bool) -> SymbolicTensor:
    shifted = self - self.amax(dim, keepdim=True).as_numbers()
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


@symbolic_rule(aten.nll_loss_forward.default, aten.nll_loss2d_forward.default)
def nll_loss(
    self: SymbolicTensor, target: SymbolicTensor, weight: SymbolicTensor | None, reduction: int, ignore_index: int
) -> tuple[SymbolicTensor, None]:
    """-Σ weight[target] self[target] / Σ weight[target]; reduction 0 is none, 1 mean, 2 sum."""
    channel = 0 if self.ndim == 1 else 1

    def weight_at(index: Index) -> Scalar:
        label = int(target[index].value)
        if label == ignore_index:
            return sc.ZERO
        return sc.ONE if weight is None else weight[(label,)]

    def loss_at(index: Index) -> Scalar:
        label = int(target[index].value)
        if label == ignore_index:
            return sc.ZERO
        picked = self[(*index[:channel], label, *index[channel:])]
        loss = sc.dot([picked], [sc.number(-1)])
        return loss if weight is None else sc.dot([loss], [weight[(label,)]])

    losses = SymbolicTensor(target.shape, loss_at)
    if reduction == 0:
        return losses, None
    if reduction == 2:
        return losses.sum(), None
    return losses.sum() / SymbolicTensor(target.shape, weight_at).sum(), None
