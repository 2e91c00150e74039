"""Rules of reductions and scans: sums, products, extremes, variances, norms, cumulative sums."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cache

import sympy as sp
import torch

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.indexing import normalized_dims
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten
Dims = Sequence[int] | int | None


@symbolic_rule(aten.sum.default)
def sum_all(self: SymbolicTensor, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return self.sum()


@symbolic_rule(aten.sum.dim_IntList)
def sum_dims(self: SymbolicTensor, dim: Dims, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return self.sum(dim, keepdim=keepdim)


@symbolic_rule(aten.mean.default)
def mean_all(self: SymbolicTensor, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return self.mean()


@symbolic_rule(aten.mean.dim)
def mean_dims(self: SymbolicTensor, dim: Dims, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return self.mean(dim, keepdim=keepdim)


@symbolic_rule(aten.prod.default)
def prod_all(self: SymbolicTensor, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return self.prod()


@symbolic_rule(aten.prod.dim_int)
def prod_dim(self: SymbolicTensor, dim: int, keepdim: bool = False, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return self.prod(dim, keepdim=keepdim)


@symbolic_rule(aten.amax.default)
def amax(self: SymbolicTensor, dim: Dims = (), keepdim: bool = False) -> SymbolicTensor:
    return self.amax(dim, keepdim=keepdim)


@symbolic_rule(aten.amin.default)
def amin(self: SymbolicTensor, dim: Dims = (), keepdim: bool = False) -> SymbolicTensor:
    return self.amin(dim, keepdim=keepdim)


@symbolic_rule(aten.max.default)
def max_all(self: SymbolicTensor) -> SymbolicTensor:
    return self.amax(name="max")


@symbolic_rule(aten.min.default)
def min_all(self: SymbolicTensor) -> SymbolicTensor:
    return self.amin(name="min")


@symbolic_rule(aten.max.dim)
def max_dim(self: SymbolicTensor, dim: int, keepdim: bool = False) -> tuple[SymbolicTensor, None]:
    return self.amax(dim, keepdim=keepdim, name="max"), None


@symbolic_rule(aten.min.dim)
def min_dim(self: SymbolicTensor, dim: int, keepdim: bool = False) -> tuple[SymbolicTensor, None]:
    return self.amin(dim, keepdim=keepdim, name="min"), None


def variance(x: SymbolicTensor, dims: Dims, *, correction: float, keepdim: bool) -> SymbolicTensor:
    """The variance over `dims` with divisor n - correction.

    Computed as (Σd² - (Σd)²/n) / (n - correction) with d = x - c, true for any constant c. With the mean's value as c
    nothing cancels, and only elements that are symbols make symbolic terms (x - mean would make all of them such).
    """
    count = x.count(dims)
    deviation = x - x.mean(dims, keepdim=True).as_numbers()
    squares = deviation.squared_modulus().sum(dims, keepdim=keepdim)
    total = deviation.sum(dims, keepdim=keepdim)
    divisor = count - correction
    return (squares - total.squared_modulus() / count) / (divisor if divisor > 0 else 0)


@symbolic_rule(aten.var.correction)
def var(self: SymbolicTensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> SymbolicTensor:
    return variance(self, dim, correction=1 if correction is None else correction, keepdim=keepdim)


@symbolic_rule(aten.std.correction)
def std(self: SymbolicTensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False) -> SymbolicTensor:
    return var(self, dim, correction=correction, keepdim=keepdim).sqrt()


@symbolic_rule(aten.var_mean.correction)
def var_mean(
    self: SymbolicTensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[SymbolicTensor, SymbolicTensor]:
    return var(self, dim, correction=correction, keepdim=keepdim), self.mean(dim, keepdim=keepdim)


@symbolic_rule(aten.std_mean.correction)
def std_mean(
    self: SymbolicTensor, dim: Dims = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[SymbolicTensor, SymbolicTensor]:
    return std(self, dim, correction=correction, keepdim=keepdim), self.mean(dim, keepdim=keepdim)


@cache
def _absolute_power(exponent: float) -> ScalarFunction:
    x = sp.Symbol("x", real=True)
    power = sp.Integer(int(exponent)) if float(exponent).is_integer() else sp.Rational(exponent)
    kinks = {"|x| at 0": x} if exponent <= 1 else {}
    written = {0: x * sp.Abs(x) ** (power - 2) * power} if exponent > 2 else {}
    return ScalarFunction("|x|^p", (x,), sp.Abs(x) ** power, kinks=kinks, written=written)


@cache
def _root(exponent: float) -> ScalarFunction:
    x = sp.Symbol("x", real=True)
    return ScalarFunction("root", (x,), x ** (1 / sp.Rational(exponent)), kinks={"norm at 0": x})


def norm(x: SymbolicTensor, p: float, dims: Dims, *, keepdim: bool) -> SymbolicTensor:
    """The p-norm over `dims`, p from -inf to inf, as `torch.linalg.vector_norm` defines it, of complex numbers too."""
    if p == 2:
        return x.squared_modulus().sum(dims, keepdim=keepdim).sqrt()
    numbers = SymbolicTensor(x.shape, lambda index: sc.modulus(x[index]))
    if math.isinf(p):
        sizes = numbers.map(_absolute_power(1.0))
        reduce = sizes.amax if p > 0 else sizes.amin
        return reduce(dims, keepdim=keepdim, name="norm")
    if p == 0:
        nonzero = ScalarFunction("x != 0", *_nonzero())
        return numbers.map(nonzero).sum(dims, keepdim=keepdim)
    powers = numbers.map(_absolute_power(p)).sum(dims, keepdim=keepdim)
    return powers if p == 1 else powers.map(_root(p))


def _nonzero() -> tuple[tuple[sp.Symbol], sp.Expr]:
    x = sp.Symbol("x", real=True)
    return (x,), sp.Piecewise((1, sp.Ne(x, 0)), (0, True))


@symbolic_rule(aten.linalg_vector_norm.default)
def linalg_vector_norm(
    self: SymbolicTensor, ord: float = 2, dim: Dims = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> SymbolicTensor:
    return norm(self, ord, dim, keepdim=keepdim)


@symbolic_rule(aten.norm.ScalarOpt_dim)
def norm_dim(self: SymbolicTensor, p: float | None, dim: Dims, keepdim: bool = False) -> SymbolicTensor:
    return norm(self, 2 if p is None else p, dim, keepdim=keepdim)


@symbolic_rule(aten.norm.Scalar)
def norm_all(self: SymbolicTensor, p: float = 2) -> SymbolicTensor:
    return norm(self, p, None, keepdim=False)


@symbolic_rule(aten.logsumexp.default)
def logsumexp(self: SymbolicTensor, dim: Dims, keepdim: bool = False) -> SymbolicTensor:
    """With the largest element's value taken out, so that rounding is bounded as torch rounds."""
    top = self.amax(dim, keepdim=True).as_numbers()
    shifted = (self - top).exp().sum(dim, keepdim=keepdim).log()
    return shifted + self.amax(dim, keepdim=keepdim).as_numbers()


def scan(x: SymbolicTensor, dim: int, combine: Callable[[list[Scalar]], Scalar]) -> SymbolicTensor:
    """Each element becomes `combine` of all up to it along `dim`."""
    if x.ndim == 0:
        return x
    (axis,) = normalized_dims(dim, x.ndim)

    def pull(index: Index) -> Scalar:
        return combine([x[(*index[:axis], place, *index[axis + 1 :])] for place in range(index[axis] + 1)])

    return SymbolicTensor(x.shape, pull)


@symbolic_rule(aten.cumsum.default)
def cumsum(self: SymbolicTensor, dim: int, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return scan(self, dim, sc.total)


@symbolic_rule(aten.cumprod.default)
def cumprod(self: SymbolicTensor, dim: int, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
    return scan(self, dim, sc.product)


@symbolic_rule(aten.logcumsumexp.default)
def logcumsumexp(self: SymbolicTensor, dim: int) -> SymbolicTensor:
    """Of each element and those before it, as `logsumexp`."""
    if not self.ndim:
        return self
    (axis,) = normalized_dims(dim, self.ndim)

    def pull(index: Index) -> Scalar:
        before = (index[axis] + 1,)
        line = SymbolicTensor(before, lambda place: self[(*index[:axis], *place, *index[axis + 1 :])])
        return logsumexp(line, 0)[()]

    return SymbolicTensor(self.shape, pull)


@symbolic_rule(aten._cdist_forward.default)
def cdist(x1: SymbolicTensor, x2: SymbolicTensor, p: float, compute_mode: int | None) -> SymbolicTensor:
    """The p-norms of the differences of all pairs of rows; of many rows by |a|² + |b|² - 2ab, which rounds otherwise."""
    by_product = p == 2 and compute_mode != 2 and (compute_mode == 1 or max(x1.shape[-2], x2.shape[-2]) > 25)
    if by_product:
        squares = x1.square().sum(-1, keepdim=True) + x2.square().sum(-1, keepdim=True).transpose(-2, -1)
        return (squares + (x1 @ x2.transpose(-2, -1)) * -2).sqrt()
    return norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1, keepdim=False)


@symbolic_rule(aten._pdist_forward.default)
def pdist(self: SymbolicTensor, p: float = 2) -> SymbolicTensor:
    """The p-norms of the differences of all pairs of rows, each pair once."""
    pairs = list(itertools.combinations(range(self.shape[0]), 2))
    differences = SymbolicTensor(
        (len(pairs), self.shape[1]),
        lambda at: sc.total([self[(pairs[at[0]][0], at[1])], sc.dot([self[(pairs[at[0]][1], at[1])]], [sc.number(-1)])]),
    )
    return norm(differences, p, -1, keepdim=False)


@symbolic_rule(aten.trace.default)
def trace(self: SymbolicTensor) -> SymbolicTensor:
    length = min(self.shape)
    return self.reindexed((length,), lambda index: (index[0], index[0])).sum()
