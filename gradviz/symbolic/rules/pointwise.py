"""Rules of elementary functions of one argument, written as textbooks write them; sympy differentiates."""

from __future__ import annotations

from typing import TypeAlias

import sympy as sp
import torch
from sympy.codegen.cfunctions import exp2 as sp_exp2
from sympy.codegen.cfunctions import expm1 as sp_expm1
from sympy.codegen.cfunctions import log1p as sp_log1p
from sympy.codegen.cfunctions import log2 as sp_log2
from sympy.codegen.cfunctions import log10 as sp_log10

from gradviz.symbolic.function import Ceil, Floor, Round, Trunc
from gradviz.symbolic.registry import pointwise_rule

aten = torch.ops.aten
Expr: TypeAlias = sp.Expr
_LARGEST = sp.Float(torch.finfo(torch.float64).max)


@pointwise_rule(aten.neg.default, aten._neg_view.default, aten._neg_view_copy.default)
def neg(self: Expr) -> Expr:
    return -self


@pointwise_rule(aten.abs.default, kinks={"|x| at 0": lambda self: self})
def absolute(self: Expr) -> Expr:
    return sp.Abs(self)


@pointwise_rule(aten.sgn.default, kinks={"sign at 0": lambda self: self})
def sgn(self: Expr) -> Expr:
    if not self.is_real:
        return sp.Piecewise((self / sp.Abs(self), sp.Ne(self, 0)), (0, True))
    return sp.Piecewise((1, self > 0), (-1, self < 0), (0, True))


@pointwise_rule(aten.sign.default, kinks={"sign at 0": lambda self: self})
def sign(self: Expr) -> Expr:
    return sp.Piecewise((1, self > 0), (-1, self < 0), (0, True))


@pointwise_rule(aten.exp.default, written={"self": lambda self, result: result})
def exp(self: Expr) -> Expr:
    return sp.exp(self)


@pointwise_rule(aten.exp2.default, written={"self": lambda self, result: result * sp.log(2)})
def exp2(self: Expr) -> Expr:
    return sp_exp2(self)


@pointwise_rule(aten.expm1.default, written={"self": lambda self, result: result + 1})
def expm1(self: Expr) -> Expr:
    return sp_expm1(self)


@pointwise_rule(aten.log.default)
def log(self: Expr) -> Expr:
    return sp.log(self)


@pointwise_rule(aten.log2.default)
def log2(self: Expr) -> Expr:
    return sp_log2(self)


@pointwise_rule(aten.log10.default)
def log10(self: Expr) -> Expr:
    return sp_log10(self)


@pointwise_rule(aten.log1p.default)
def log1p(self: Expr) -> Expr:
    return sp_log1p(self)


@pointwise_rule(
    aten.sqrt.default,
    written={"self": lambda self, result: 1 / (2 * result)},
    kinks={"square root at 0": lambda self: self},
)
def sqrt(self: Expr) -> Expr:
    return sp.sqrt(self)


@pointwise_rule(aten.rsqrt.default, written={"self": lambda self, result: -(result**3) / 2})
def rsqrt(self: Expr) -> Expr:
    return 1 / sp.sqrt(self)


@pointwise_rule(aten.square.default)
def square(self: Expr) -> Expr:
    return self**2


@pointwise_rule(aten.reciprocal.default, written={"self": lambda self, result: -(result**2)})
def reciprocal(self: Expr) -> Expr:
    return 1 / self


@pointwise_rule(aten.sin.default)
def sin(self: Expr) -> Expr:
    return sp.sin(self)


@pointwise_rule(aten.cos.default)
def cos(self: Expr) -> Expr:
    return sp.cos(self)


@pointwise_rule(aten.tan.default, written={"self": lambda self, result: 1 + result**2})
def tan(self: Expr) -> Expr:
    return sp.tan(self)


@pointwise_rule(aten.asin.default)
def asin(self: Expr) -> Expr:
    return sp.asin(self)


@pointwise_rule(aten.acos.default)
def acos(self: Expr) -> Expr:
    return sp.acos(self)


@pointwise_rule(aten.atan.default)
def atan(self: Expr) -> Expr:
    return sp.atan(self)


@pointwise_rule(aten.sinh.default)
def sinh(self: Expr) -> Expr:
    return sp.sinh(self)


@pointwise_rule(aten.cosh.default)
def cosh(self: Expr) -> Expr:
    return sp.cosh(self)


@pointwise_rule(aten.tanh.default, written={"self": lambda self, result: 1 - result**2})
def tanh(self: Expr) -> Expr:
    return sp.tanh(self)


@pointwise_rule(aten.asinh.default)
def asinh(self: Expr) -> Expr:
    return sp.asinh(self)


@pointwise_rule(aten.acosh.default, written={"self": lambda self, result: 1 / sp.sqrt(self**2 - 1)})
def acosh(self: Expr) -> Expr:
    return sp.acosh(self)


@pointwise_rule(aten.atanh.default)
def atanh(self: Expr) -> Expr:
    return sp.atanh(self)


def _at_minus_infinity(self: Expr) -> sp.Piecewise:
    """There exp(-x) / (1 + exp(-x))² is ∞/∞; a condition in real symbols can name only numbers."""
    return sp.Piecewise((0, self < -_LARGEST))


@pointwise_rule(
    aten.sigmoid.default,
    limits={"self": _at_minus_infinity},
    written={"self": lambda self, result: result * (1 - result)},
)
def sigmoid(self: Expr) -> Expr:
    return 1 / (1 + sp.exp(-self))


@pointwise_rule(
    aten.logit.default, exact=("eps",), kinks={"logit at the edge of its clamp": lambda self, eps: _edge(self, eps)}
)
def logit(self: Expr, eps: Expr | None = None) -> Expr:
    plain = sp.log(self / (1 - self))
    if eps is None:
        return plain
    above = 1 - eps
    low, high = sp.log(eps / above), sp.log(above) - sp.log(sp.Add(1, -above, evaluate=False))  # torch rounds 1 - eps
    return sp.Piecewise((low, self < eps), (high, self > 1 - eps), (plain, True))


def _edge(x: Expr, eps: Expr | None) -> Expr:
    return sp.S.One if eps is None else (x - eps) * (x - 1 + eps)


@pointwise_rule(aten.log_sigmoid_forward.default, written={"self": lambda self, result: 1 / (1 + sp.exp(self))})
def log_sigmoid_forward(self: Expr) -> Expr:
    return sp.Piecewise((self - sp_log1p(sp.exp(self)), self < 0), (-sp_log1p(sp.exp(-self)), True))


def _log_sigmoid_twice(grad_output: Expr, self: Expr, buffer: Expr, result: Expr) -> Expr:
    sigmoid = 1 / (1 + sp.exp(-self))
    return grad_output * (sigmoid - 1) * sigmoid


@pointwise_rule(aten.log_sigmoid_backward.default, written={"self": _log_sigmoid_twice})
def log_sigmoid_backward(grad_output: Expr, self: Expr, buffer: Expr) -> Expr:
    """`buffer` is what the forward pass made of `self`, so that its slope is in that of `self`."""
    return grad_output / (1 + sp.exp(self))


@pointwise_rule(aten.erf.default)
def erf(self: Expr) -> Expr:
    return sp.erf(self)


@pointwise_rule(aten.erfc.default)
def erfc(self: Expr) -> Expr:
    return sp.erfc(self)


@pointwise_rule(aten.erfinv.default, written={"self": lambda self, result: sp.sqrt(sp.pi) / 2 * sp.exp(result**2)})
def erfinv(self: Expr) -> Expr:
    return sp.erfinv(self)


@pointwise_rule(aten.lgamma.default)
def lgamma(self: Expr) -> Expr:
    return sp.loggamma(self)


@pointwise_rule(aten.digamma.default, coarse=2.0**-30)  # torch sums trigamma to 5e-10 only
def digamma(self: Expr) -> Expr:
    return sp.polygamma(0, self)


def _sinc_slope(self: Expr, result: Expr) -> Expr:
    """(π x cos(π x) - sin(π x)) / (π x²), as torch computes it: π x is rounded, and the square may overflow."""
    turned = sp.pi * self
    square = sp.Mul(sp.Pow(self, 2, evaluate=False), sp.pi, evaluate=False)
    slope = sp.Mul(turned * sp.cos(turned) - sp.sin(turned), sp.Pow(square, -1, evaluate=False), evaluate=False)
    return sp.Piecewise((slope, sp.Ne(self, 0)), (0, True))


@pointwise_rule(aten.sinc.default, written={"self": _sinc_slope})
def sinc(self: Expr) -> Expr:
    return sp.Piecewise((sp.sin(sp.pi * self) / (sp.pi * self), sp.Ne(self, 0)), (1, True))


@pointwise_rule(aten.deg2rad.default)
def deg2rad(self: Expr) -> Expr:
    return self * (sp.pi / 180)


@pointwise_rule(aten.rad2deg.default)
def rad2deg(self: Expr) -> Expr:
    return self * (180 / sp.pi)


@pointwise_rule(aten.positive.default, aten.alias_copy.default)
def positive(self: Expr) -> Expr:
    return self


@pointwise_rule(aten.floor.default)
def floor(self: Expr) -> Expr:
    return Floor(self)


@pointwise_rule(aten.ceil.default)
def ceil(self: Expr) -> Expr:
    return Ceil(self)


@pointwise_rule(aten.round.default)
def round_(self: Expr) -> Expr:
    return Round(self)


@pointwise_rule(aten.round.decimals, exact=("decimals",))
def round_decimals(self: Expr, *, decimals: Expr) -> Expr:
    return Round(self * 10**decimals) / 10**decimals


@pointwise_rule(aten.trunc.default)
def trunc(self: Expr) -> Expr:
    return Trunc(self)


@pointwise_rule(aten.frac.default)
def frac(self: Expr) -> Expr:
    return self - Trunc(self)


@pointwise_rule(
    aten.nan_to_num.default,
    written={"self": lambda self, *others: sp.Piecewise((1, sp.Eq(self, others[-1])), (0, True))},
    takes_nan=True,
)
def nan_to_num(self: Expr, nan: Expr | None = None, posinf: Expr | None = None, neginf: Expr | None = None) -> Expr:
    """The identity at finite numbers, else a constant; what ±∞ become, unless it is given, depends on the dtype."""
    above, below = (sp.nan if given is None else given for given in (posinf, neginf))
    finite = sp.And(self >= -_LARGEST, self <= _LARGEST)  # a real symbol is always below sympy's infinity
    return sp.Piecewise((self, finite), (above, self > 0), (below, self < 0), (0 if nan is None else nan, True))
