"""Rules of elementwise functions of several tensors: arithmetic, powers, choices, clamps and interpolation."""

from __future__ import annotations

from typing import Any, TypeAlias

import sympy as sp
import torch
from sympy.codegen.cfunctions import log1p as sp_log1p

from gradviz.symbolic.function import Floor, Round, Trunc
from gradviz.symbolic.registry import pointwise_rule

aten = torch.ops.aten
Expr: TypeAlias = sp.Expr


@pointwise_rule(aten.add.Tensor, aten.add.Scalar)
def add(self: Expr, other: Expr, alpha: Expr = sp.S.One) -> Expr:
    return self + alpha * other


@pointwise_rule(aten.sub.Tensor, aten.sub.Scalar)
def sub(self: Expr, other: Expr, alpha: Expr = sp.S.One) -> Expr:
    return self - alpha * other


@pointwise_rule(aten.rsub.Tensor, aten.rsub.Scalar)
def rsub(self: Expr, other: Expr, alpha: Expr = sp.S.One) -> Expr:
    return other - alpha * self


@pointwise_rule(aten.mul.Tensor, aten.mul.Scalar)
def mul(self: Expr, other: Expr) -> Expr:
    return self * other


@pointwise_rule(aten.div.Tensor, aten.div.Scalar, written={"other": lambda self, other, result: -result / other})
def div(self: Expr, other: Expr) -> Expr:
    return self / other


def _jump(self: Expr, other: Expr, rounding_mode: str | None = "floor") -> Expr:
    """Zero where the quotient is a whole number, at which rounding it jumps."""
    return sp.S.One if rounding_mode is None else self / other - Round(self / other)


@pointwise_rule(aten.div.Tensor_mode, aten.div.Scalar_mode, kinks={"jump of a rounded quotient": _jump})
def div_mode(self: Expr, other: Expr, *, rounding_mode: str | None) -> Expr:
    if rounding_mode is None:
        return self / other
    return Floor(self / other) if rounding_mode == "floor" else Trunc(self / other)


@pointwise_rule(aten.pow.Tensor_Scalar, exact=("exponent",), kinks={"power at 0": lambda x, exponent: _root(x, exponent)})
def pow_scalar(self: Expr, exponent: Expr) -> Expr:
    return self**exponent


def _root(x: Expr, exponent: Expr) -> Expr:
    return x if exponent.is_real and 0 < exponent < 1 else sp.S.One


def _along_base(self: Expr, exponent: Expr) -> sp.Piecewise:
    """x**0 is 1 for all x; at 0 sympy's x**y y/x says nothing."""
    return sp.Piecewise((0, sp.Eq(exponent, 0)), (exponent * self ** (exponent - 1), sp.Eq(self, 0)))


def _along_exponent(self: Expr, exponent: Expr) -> sp.Piecewise:
    """0**y is 0 for y > 0, 1 at 0 and infinite below: torch takes 0 for its derivative at 0, by convention."""
    return sp.Piecewise((0, sp.Eq(self, 0) & (exponent > 0)), (sp.nan, sp.Eq(self, 0) & sp.Eq(exponent, 0)))


@pointwise_rule(
    aten.pow.Tensor_Tensor,
    limits={"self": _along_base, "exponent": _along_exponent},
    written={
        "self": lambda self, exponent, result: exponent * self ** (exponent - 1),
        "exponent": lambda self, exponent, result: result * sp.log(self),
    },
)
def pow_tensor(self: Expr, exponent: Expr) -> Expr:
    return self**exponent


@pointwise_rule(
    aten.pow.Scalar,
    limits={"exponent": _along_exponent},
    written={"exponent": lambda self, exponent, result: result * sp.log(self)},
)
def pow_of_scalar(self: Expr, exponent: Expr) -> Expr:
    return self**exponent


def _difference(self: Expr, other: Expr) -> Expr:
    return self - other


def _shared(wins: Expr, self: Expr, other: Expr) -> Expr:
    """[wins] + [self = other]/2: at a tie torch hands half of the cotangent to each."""
    return sp.Piecewise((1, wins), (0, True)) + sp.Piecewise((1, sp.Eq(self, other)), (0, True)) / 2


@pointwise_rule(
    aten.maximum.default,
    written={
        "self": lambda self, other, result: _shared(self > other, self, other),
        "other": lambda self, other, result: _shared(self < other, self, other),
    },
    kinks={"tie in maximum": _difference},
)
def maximum(self: Expr, other: Expr) -> Expr:
    return sp.Piecewise((self, self >= other), (other, True))


@pointwise_rule(
    aten.minimum.default,
    written={
        "self": lambda self, other, result: _shared(self < other, self, other),
        "other": lambda self, other, result: _shared(self > other, self, other),
    },
    kinks={"tie in minimum": _difference},
)
def minimum(self: Expr, other: Expr) -> Expr:
    return sp.Piecewise((self, self <= other), (other, True))


@pointwise_rule(aten.fmax.default, kinks={"tie in maximum": _difference})
def fmax(self: Expr, other: Expr) -> Expr:
    """At a tie the first argument gets the whole cotangent."""
    return sp.Piecewise((self, self >= other), (other, True))


@pointwise_rule(aten.fmin.default, kinks={"tie in minimum": _difference})
def fmin(self: Expr, other: Expr) -> Expr:
    """At a tie the first argument gets the whole cotangent."""
    return sp.Piecewise((self, self <= other), (other, True))


def _edges(self: Expr, min: Expr | None = None, max: Expr | None = None) -> Expr:
    return sp.Mul(*(self - edge for edge in (min, max) if edge is not None))


@pointwise_rule(aten.clamp.default, aten.clamp.Tensor, kinks={"clamp at an edge": _edges})
def clamp(self: Expr, min: Expr | None = None, max: Expr | None = None) -> Expr:
    """The upper edge wins where the edges cross, as torch documents."""
    branches: list[Any] = []
    if max is not None:
        branches.append((max, self > max if min is None else sp.Or(self > max, min > max)))
    if min is not None:
        branches.append((min, self < min))
    return sp.Piecewise(*branches, (self, True))


@pointwise_rule(aten.clamp_min.default, aten.clamp_min.Tensor, kinks={"clamp at its edge": lambda self, min: self - min})
def clamp_min(self: Expr, min: Expr) -> Expr:
    return sp.Piecewise((min, self < min), (self, True))


@pointwise_rule(aten.clamp_max.default, aten.clamp_max.Tensor, kinks={"clamp at its edge": lambda self, max: self - max})
def clamp_max(self: Expr, max: Expr) -> Expr:
    return sp.Piecewise((max, self > max), (self, True))


@pointwise_rule(aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf)
def where(condition: Expr, self: Expr, other: Expr) -> Expr:
    return sp.Piecewise((self, sp.Ne(condition, 0)), (other, True))


@pointwise_rule(aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def masked_fill(self: Expr, mask: Expr, value: Expr) -> Expr:
    return sp.Piecewise((value, sp.Ne(mask, 0)), (self, True))


@pointwise_rule(aten.addcmul.default)
def addcmul(self: Expr, tensor1: Expr, tensor2: Expr, *, value: Expr) -> Expr:
    return self + value * tensor1 * tensor2


def _by_square(self: Expr, tensor1: Expr, tensor2: Expr, result: Expr, *, value: Expr) -> Expr:
    """-value a / (b b), as torch computes it: the square of b, kept as a step of its own, may overflow."""
    square = sp.Pow(tensor2, 2, evaluate=False)
    return sp.Mul(-value * tensor1, sp.Pow(square, -1, evaluate=False), evaluate=False)


@pointwise_rule(aten.addcdiv.default, written={"tensor2": _by_square})
def addcdiv(self: Expr, tensor1: Expr, tensor2: Expr, *, value: Expr) -> Expr:
    return self + value * tensor1 / tensor2


@pointwise_rule(aten.lerp.Scalar, aten.lerp.Tensor)
def lerp(self: Expr, end: Expr, weight: Expr) -> Expr:
    return self + weight * (end - self)


@pointwise_rule(aten.atan2.default, kinks={"atan2 at the origin": lambda self, other: self**2 + other**2})
def atan2(self: Expr, other: Expr) -> Expr:
    return sp.atan2(self, other)


@pointwise_rule(aten.hypot.default, kinks={"hypot at the origin": lambda self, other: self**2 + other**2})
def hypot(self: Expr, other: Expr) -> Expr:
    return sp.sqrt(self**2 + other**2)


@pointwise_rule(aten.fmod.Tensor, aten.fmod.Scalar, kinks={"jump of fmod": _jump})
def fmod(self: Expr, other: Expr) -> Expr:
    return self - other * Trunc(self / other)


@pointwise_rule(aten.remainder.Tensor, aten.remainder.Scalar, kinks={"jump of remainder": _jump})
def remainder(self: Expr, other: Expr) -> Expr:
    return self - other * Floor(self / other)


@pointwise_rule(
    *(aten.copysign.Tensor, aten.copysign.Scalar),
    kinks={"copysign at 0": lambda self, other: self * other},
    signed=("other",),
)
def copysign(self: Expr, other: Expr) -> Expr:
    return sp.Piecewise((sp.Abs(self), other >= 0), (-sp.Abs(self), True))


@pointwise_rule(
    aten.logaddexp.default,
    written={
        "self": lambda self, other, result: 1 / (1 + sp.exp(other - self)),
        "other": lambda self, other, result: 1 / (1 + sp.exp(self - other)),
    },
)
def logaddexp(self: Expr, other: Expr) -> Expr:
    """With the larger argument taken out, so that rounding is bounded as torch rounds."""
    low = sp.Piecewise((self, self <= other), (other, True))
    high = sp.Piecewise((other, self <= other), (self, True))
    return high + sp.log(1 + sp.exp(low - high))


@pointwise_rule(
    aten.logaddexp2.default,
    written={
        "self": lambda self, other, result: 1 / (1 + 2 ** (other - self)),
        "other": lambda self, other, result: 1 / (1 + 2 ** (self - other)),
    },
)
def logaddexp2(self: Expr, other: Expr) -> Expr:
    low = sp.Piecewise((self, self <= other), (other, True))
    high = sp.Piecewise((other, self <= other), (self, True))
    return high + sp.log(1 + sp.exp((low - high) * sp.log(2))) / sp.log(2)


def _times_log(x: Expr, y: Expr, log: Expr) -> Expr:
    """x log y, and 0 for x = 0 where log y is no number: elsewhere its slope is log y there too.

    Where both are 0 there is no slope along y: x/y, as torch has it, is 0/0.
    """
    return sp.Piecewise((0, sp.Eq(x, 0) & (y < 0)), (x * sp.sqrt(y), sp.Eq(x, 0) & sp.Eq(y, 0)), (x * log, True))


@pointwise_rule(
    *(aten.xlogy.Tensor, aten.xlogy.Scalar_Self, aten.xlogy.Scalar_Other),
    written={
        "self": lambda self, other, result: sp.Piecewise((0, sp.Eq(self, 0) & (other <= 0)), (sp.log(other), True)),
        "other": lambda self, other, result: self / other,
    },
)
def xlogy(self: Expr, other: Expr) -> Expr:
    return _times_log(self, other, sp.log(other))


@pointwise_rule(
    *(aten.special_xlog1py.default, aten.special_xlog1py.self_scalar, aten.special_xlog1py.other_scalar),
    written={
        "self": lambda self, other, result: sp.Piecewise((0, sp.Eq(self, 0) & (other <= -1)), (sp_log1p(other), True)),
        "other": lambda self, other, result: self / (other + 1),
    },
)
def xlog1py(self: Expr, other: Expr) -> Expr:
    return _times_log(self, other + 1, sp_log1p(other))
