"""Rules of activation functions and losses that act elementwise."""

from __future__ import annotations

from typing import TypeAlias

import sympy as sp
import torch
from sympy.codegen.cfunctions import expm1, log1p

from gradviz.symbolic.registry import pointwise_rule

aten = torch.ops.aten
Expr: TypeAlias = sp.Expr


def _sigmoid(x: Expr) -> Expr:
    return 1 / (1 + sp.exp(-x))


def _at_zero(self: Expr, *options: Expr) -> Expr:
    return self


@pointwise_rule(aten.relu.default, kinks={"relu at 0": _at_zero})
def relu(self: Expr) -> Expr:
    return sp.Piecewise((self, self > 0), (0, True))


@pointwise_rule(
    aten.hardtanh.default,
    kinks={"hardtanh at an edge": lambda self, min_val, max_val: (self - min_val) * (self - max_val)},
)
def hardtanh(self: Expr, min_val: Expr = sp.S.NegativeOne, max_val: Expr = sp.S.One) -> Expr:
    return sp.Piecewise((min_val, self <= min_val), (max_val, self >= max_val), (self, True))


@pointwise_rule(aten.relu6.default, kinks={"relu6 at an edge": lambda self: self * (self - 6)})
def relu6(self: Expr) -> Expr:
    return sp.Piecewise((0, self <= 0), (6, self >= 6), (self, True))


@pointwise_rule(aten.leaky_relu.default, kinks={"leaky relu at 0": _at_zero})
def leaky_relu(self: Expr, negative_slope: Expr) -> Expr:
    return sp.Piecewise((self, self > 0), (negative_slope * self, True))


@pointwise_rule(aten.elu.default, kinks={"elu at 0": _at_zero})
def elu(self: Expr, alpha: Expr, scale: Expr, input_scale: Expr) -> Expr:
    return sp.Piecewise((scale * self, self > 0), (scale * alpha * expm1(input_scale * self), True))


@pointwise_rule(aten.celu.default, kinks={"celu at 0": _at_zero})
def celu(self: Expr, alpha: Expr) -> Expr:
    return sp.Piecewise((self, self > 0), (alpha * expm1(self / alpha), True))


@pointwise_rule(aten.selu.default, kinks={"selu at 0": _at_zero})
def selu(self: Expr) -> Expr:
    """Constants of Klambauer et al. 2017, with the digits that torch holds."""
    alpha = sp.Rational("1.6732632423543772848170429916717")
    scale = sp.Rational("1.0507009873554804934193349852946")
    return sp.Piecewise((scale * self, self > 0), (scale * alpha * expm1(self), True))


@pointwise_rule(aten.gelu.default)
def gelu(self: Expr, approximate: str = "none") -> Expr:
    if approximate == "tanh":
        inner = sp.sqrt(2 / sp.pi) * (self + sp.Rational("0.044715") * self**3)
        return self * (1 + sp.tanh(inner)) / 2
    return self * (1 + sp.erf(self / sp.sqrt(2))) / 2


@pointwise_rule(
    aten.silu.default,
    written={"self": lambda self, result: _sigmoid(self) * (1 + self * (1 - _sigmoid(self)))},
)
def silu(self: Expr) -> Expr:
    return self * _sigmoid(self)


@pointwise_rule(
    aten.mish.default,
    written={
        "self": lambda self, result: (
            sp.tanh(log1p(sp.exp(self))) + self * _sigmoid(self) * (1 - sp.tanh(log1p(sp.exp(self))) ** 2)
        )
    },
)
def mish(self: Expr) -> Expr:
    return self * sp.tanh(log1p(sp.exp(self)))


@pointwise_rule(
    aten.softplus.default,
    written={
        "self": lambda self, beta, threshold, result: sp.Piecewise(
            (1, self * beta > threshold), (_sigmoid(self * beta), True)
        )
    },
    kinks={"softplus at its threshold": lambda self, beta, threshold: self * beta - threshold},
)
def softplus(self: Expr, beta: Expr, threshold: Expr) -> Expr:
    """y = log(1 + exp(beta x)) / beta; the identity above the threshold, as torch does."""
    return sp.Piecewise((self, self * beta > threshold), (log1p(sp.exp(self * beta)) / beta, True))


@pointwise_rule(
    aten.hardsigmoid.default,
    kinks={"hardsigmoid at an edge": lambda self: (self - 3) * (self + 3)},
    coarse=2.0**-25,  # torch 2.13's backward multiplies by the float32 number next to 1/6, for float64 as well
)
def hardsigmoid(self: Expr) -> Expr:
    return sp.Piecewise((0, self <= -3), (1, self >= 3), ((self + 3) / 6, True))


@pointwise_rule(aten.hardswish.default, kinks={"hardswish at an edge": lambda self: (self - 3) * (self + 3)})
def hardswish(self: Expr) -> Expr:
    return sp.Piecewise((0, self <= -3), (self, self >= 3), (self * (self + 3) / 6, True))


@pointwise_rule(aten.hardshrink.default, kinks={"hardshrink at an edge": lambda self, lambd: self**2 - lambd**2})
def hardshrink(self: Expr, lambd: Expr) -> Expr:
    return sp.Piecewise((0, sp.And(self >= -lambd, self <= lambd)), (self, True))


@pointwise_rule(aten.softshrink.default, kinks={"softshrink at an edge": lambda self, lambd: self**2 - lambd**2})
def softshrink(self: Expr, lambd: Expr) -> Expr:
    return sp.Piecewise((self - lambd, self > lambd), (self + lambd, self < -lambd), (0, True))


@pointwise_rule(aten.threshold.default, kinks={"threshold at its edge": lambda self, threshold, value: self - threshold})
def threshold(self: Expr, threshold: Expr, value: Expr) -> Expr:
    return sp.Piecewise((value, self <= threshold), (self, True))


@pointwise_rule(aten._prelu_kernel.default, kinks={"prelu at 0": _at_zero})
def prelu(self: Expr, weight: Expr) -> Expr:
    return sp.Piecewise((self, self > 0), (weight * self, True))


@pointwise_rule(aten.native_dropout.default, saved={"mask": 1})
def native_dropout(input: Expr, p: Expr, train: bool | None, *, mask: Expr) -> Expr:
    """Under the mask that was drawn."""
    return input * mask / (1 - p) if train or train is None else input
