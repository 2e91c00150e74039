"""Rules of special functions: the Bessel, gamma and error function families; and of a few that are constant in parts."""

from __future__ import annotations

from typing import TypeAlias

import sympy as sp
import torch
from torch import Tensor

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.registry import pointwise_rule, symbolic_rule
from gradviz.symbolic.tensor import SymbolicTensor

aten = torch.ops.aten
Expr: TypeAlias = sp.Expr


def _at_zero(self: Expr) -> Expr:
    return self


class ScaledBessel(sp.Function):  # type: ignore[misc]
    """exp(-|x|) I_n(x), which does not overflow where I_n does; order first, as in sympy."""

    def fdiff(self, argindex: int = 2) -> Expr:
        order, x = self.args
        beside = (ScaledBessel(abs(order - 1), x) + ScaledBessel(order + 1, x)) / 2  # I₋ₙ = Iₙ
        return beside - sp.sign(x) * self


class Erfcx(sp.Function):  # type: ignore[misc]
    """exp(x²) erfc(x), which does not vanish where erfc does."""

    def fdiff(self, argindex: int = 1) -> Expr:
        (x,) = self.args
        return 2 * x * self - 2 / sp.sqrt(sp.pi)


class Entr(sp.Function):  # type: ignore[misc]
    """-x log x, and 0 at 0, where its slope is infinite."""

    def fdiff(self, argindex: int = 1) -> Expr:
        return -sp.log(self.args[0]) - 1


@pointwise_rule(aten.special_entr.default)
def entr(self: Expr) -> Expr:
    return Entr(self)


@pointwise_rule(aten.i0.default)
def i0(self: Expr) -> Expr:
    return sp.besseli(0, self)


@pointwise_rule(aten.special_i1.default)
def i1(self: Expr) -> Expr:
    return sp.besseli(1, self)


@pointwise_rule(aten.special_i0e.default, kinks={"|x| at 0": _at_zero})
def i0e(self: Expr) -> Expr:
    return ScaledBessel(0, self)


@pointwise_rule(aten.special_i1e.default)
def i1e(self: Expr) -> Expr:
    return ScaledBessel(1, self)


# torch sums trigamma, the value for n = 1 and the derivative for n = 0, to 5e-10 only.
@pointwise_rule(aten.polygamma.default, exact=("n",), coarse=2.0**-30, coarse_value=2.0**-30)
def polygamma(n: Expr, self: Expr) -> Expr:
    return sp.polygamma(n, self)


@pointwise_rule(aten.special_erfcx.default, written={"self": lambda self, result: 2 * self * result - 2 / sp.sqrt(sp.pi)})
def erfcx(self: Expr) -> Expr:
    return Erfcx(self)


@pointwise_rule(
    aten.special_log_ndtr.default,
    written={"self": lambda self, result: sp.exp(-(result + self**2 / 2)) / sp.sqrt(2 * sp.pi)},
)
def log_ndtr(self: Expr) -> Expr:
    """The logarithm of the normal distribution's area below x."""
    low = sp.log(Erfcx(-self / sp.sqrt(2)) / 2) - self**2 / 2
    return sp.Piecewise((low, self < -1), (sp.log(1 - sp.erfc(self / sp.sqrt(2)) / 2), True))


@pointwise_rule(
    aten.special_ndtri.default,
    written={"self": lambda self, result: sp.sqrt(2 * sp.pi) * sp.exp(result**2 / 2)},
)
def ndtri(self: Expr) -> Expr:
    """Below which place the normal distribution has this area."""
    return sp.sqrt(2) * sp.erfinv(2 * self - 1)


@pointwise_rule(aten.nextafter.default, kinks={"nextafter at equal numbers": lambda self, other: self - other})
def nextafter(self: Expr, other: Expr) -> Expr:
    """The number itself, to rounding."""
    return self


@symbolic_rule(aten.frexp.Tensor, needs_outputs=True)
def frexp(self: SymbolicTensor, *, outputs: tuple[Tensor, ...]) -> tuple[SymbolicTensor, None]:
    """x / 2^e with the recorded e, which has no derivative."""
    exponents = outputs[1].numpy(force=True)
    scale = SymbolicTensor(self.shape, lambda at: sc.number(2.0 ** -int(exponents[at])))
    return self * scale, None


@pointwise_rule(aten.fill.Scalar)
def fill(self: Expr, value: Expr | bool) -> Expr:
    """What was there does not matter: its derivative is 0."""
    return sp.Integer(value) if isinstance(value, bool) else value


@pointwise_rule(aten.zero.default)
def zero(self: Expr) -> Expr:
    return sp.S.Zero
