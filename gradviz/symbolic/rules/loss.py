"""Rules of losses that compare elementwise and then reduce: 0 not at all, 1 to the mean, 2 to the sum."""

from __future__ import annotations

from functools import cache

import sympy as sp
import torch
from sympy.codegen.cfunctions import log1p

from gradviz.symbolic.arithmetic import EXACT
from gradviz.symbolic.evaluate import exact_number
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.rounding import unit_in_use
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import SymbolicTensor

aten = torch.ops.aten
_x, _t = sp.symbols("x t", real=True)
_KEPT_FROM_0 = 1e-12
"""What the derivative of the backward pass of `binary_cross_entropy` adds to probabilities before it divides by them."""


def reduced(losses: SymbolicTensor, reduction: int) -> SymbolicTensor:
    """The losses, their mean or their sum."""
    return losses.mean() if reduction == 1 else losses.sum() if reduction == 2 else losses


@symbolic_rule(aten.mse_loss.default)
def mse_loss(self: SymbolicTensor, target: SymbolicTensor, reduction: int = 1) -> SymbolicTensor:
    return reduced((self - target).square(), reduction)


@cache
def _smooth_l1(beta: float) -> ScalarFunction:
    edge = exact_number(beta)
    size = sp.Abs(_x)
    if beta == 0:
        return ScalarFunction("|x|", (_x,), size, kinks={"|x| at 0": _x})
    inner = _x**2 / (2 * edge)
    return ScalarFunction("smooth_l1", (_x,), sp.Piecewise((inner, size < edge), (size - edge / 2, True)))


@symbolic_rule(aten.smooth_l1_loss.default)
def smooth_l1_loss(self: SymbolicTensor, target: SymbolicTensor, reduction: int = 1, beta: float = 1.0) -> SymbolicTensor:
    return reduced((self - target).map(_smooth_l1(beta)), reduction)


@cache
def _huber(delta: float) -> ScalarFunction:
    edge = exact_number(delta)
    size = sp.Abs(_x)
    return ScalarFunction("huber", (_x,), sp.Piecewise((_x**2 / 2, size <= edge), (edge * (size - edge / 2), True)))


@symbolic_rule(aten.huber_loss.default)
def huber_loss(self: SymbolicTensor, target: SymbolicTensor, reduction: int = 1, delta: float = 1.0) -> SymbolicTensor:
    return reduced((self - target).map(_huber(delta)), reduction)


_CLAMPED = {"binary cross entropy at 0 or 1, where torch clamps": _x * (1 - _x)}
_CROSS_ENTROPY = ScalarFunction(
    "binary_cross_entropy",
    (_x, _t),
    -_t * sp.Piecewise((sp.log(_x), sp.log(_x) > -100), (-100, True))
    - (1 - _t) * sp.Piecewise((log1p(-_x), log1p(-_x) > -100), (-100, True)),
    written={0: (_x - _t) / ((1 - _x) * _x)},
    kinks=_CLAMPED,
)
_CROSS_ENTROPY_BACKWARD = ScalarFunction(
    "binary_cross_entropy_backward",
    (_x, _t),
    (_x - _t) / ((1 - _x) * _x),
    written={0: (_x**2 - 2 * _x * _t + _t) / (_x**2 * (1 - _x) ** 2)},
    kinks=_CLAMPED,
)
_LOGISTIC = ScalarFunction(  # log(1 + exp(-x))
    "softplus(-x)", (_x,), sp.Piecewise((log1p(sp.exp(-_x)), _x > 0), (log1p(sp.exp(_x)) - _x, True))
)


@symbolic_rule(aten.binary_cross_entropy.default)
def binary_cross_entropy(
    self: SymbolicTensor, target: SymbolicTensor, weight: SymbolicTensor | None = None, reduction: int = 1
) -> SymbolicTensor:
    """-(t log x + (1 - t) log(1 - x)), logarithms clamped at -100 as in torch."""
    losses = self.map(_CROSS_ENTROPY, target)
    return reduced(losses if weight is None else losses * weight, reduction)


@symbolic_rule(aten.binary_cross_entropy_backward.default)
def binary_cross_entropy_backward(
    grad_output: SymbolicTensor,
    self: SymbolicTensor,
    target: SymbolicTensor,
    weight: SymbolicTensor | None = None,
    reduction: int = 1,
) -> SymbolicTensor:
    """(x - t) / (x (1 - x)), at probabilities that count as known to `_KEPT_FROM_0`."""
    kept_from_0 = SymbolicTensor((), lambda index: Scalar(EXACT.number(0), _KEPT_FROM_0 / unit_in_use()))
    slopes = (self + kept_from_0).map(_CROSS_ENTROPY_BACKWARD, target)
    cotangent = grad_output * (1 / self.numel) if reduction == 1 else grad_output
    return slopes * cotangent if weight is None else slopes * cotangent * weight


@symbolic_rule(aten.binary_cross_entropy_with_logits.default)
def binary_cross_entropy_with_logits(
    self: SymbolicTensor,
    target: SymbolicTensor,
    weight: SymbolicTensor | None = None,
    pos_weight: SymbolicTensor | None = None,
    reduction: int = 1,
) -> SymbolicTensor:
    """(1 - t) x + (1 + (p - 1) t) log(1 + exp(-x)), p the weight of positives."""
    factor = 1 if pos_weight is None else (pos_weight - 1) * target + 1
    losses = (1 - target) * self + self.map(_LOGISTIC) * factor
    return reduced(losses if weight is None else losses * weight, reduction)


@symbolic_rule(aten.soft_margin_loss.default)
def soft_margin_loss(self: SymbolicTensor, target: SymbolicTensor, reduction: int = 1) -> SymbolicTensor:
    """log(1 + exp(-t x))."""
    return reduced((self * target).map(_LOGISTIC), reduction)
