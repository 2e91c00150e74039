"""Rules of what is stated in real and imaginary parts: conjugates, conversions, polar form, Fourier transforms.

All other rules hold for complex numbers as they stand, where they are analytic, and functions of the modulus too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import sympy as sp
import torch

from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.registry import pointwise_rule, symbolic_rule
from gradviz.symbolic.scalar import Pair, Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor, of_parts

aten = torch.ops.aten
Expr: TypeAlias = sp.Expr


@pointwise_rule(aten.angle.default, kinks={"angle at 0": lambda self: self})
def angle(self: Expr) -> Expr:
    """arg z; of a real number π where it is negative, else 0."""
    if self.is_real:
        return sp.Piecewise((sp.pi, self < 0), (0, True))
    return -sp.I * sp.log(self / sp.Abs(self))


@symbolic_rule(aten._conj.default, aten._conj_physical.default, aten.conj_physical.default)
def conj(self: SymbolicTensor) -> SymbolicTensor:
    return SymbolicTensor(self.shape, lambda index: sc.conjugate(self[index]))


@symbolic_rule(aten.view_as_real.default, aten.view_as_real_copy.default)
def view_as_real(self: SymbolicTensor) -> SymbolicTensor:
    return of_parts(self)


@symbolic_rule(aten.view_as_complex.default)
def view_as_complex(self: SymbolicTensor) -> SymbolicTensor:
    return SymbolicTensor(self.shape[:-1], lambda index: Pair(self[(*index, 0)], self[(*index, 1)]))


@symbolic_rule(aten.complex.default)
def complex_(real: SymbolicTensor, imag: SymbolicTensor) -> SymbolicTensor:
    return real + imag * 1j


@symbolic_rule(aten.polar.default)
def polar(abs: SymbolicTensor, angle: SymbolicTensor) -> SymbolicTensor:
    return abs * (angle * 1j).exp()


@symbolic_rule(aten._fft_c2c.default)
def fft_c2c(self: SymbolicTensor, dim: Sequence[int], normalization: int, forward: bool) -> SymbolicTensor:
    result = self
    for axis in dim:
        result = _transformed(result, axis % self.ndim, -1 if forward else 1)
    return _normalized(result, normalization, self.count(dim) if dim else 1)


@symbolic_rule(aten._fft_r2c.default)
def fft_r2c(self: SymbolicTensor, dim: Sequence[int], normalization: int, onesided: bool) -> SymbolicTensor:
    """Of the last of the dims only the first half is kept where `onesided`: the other is its conjugate."""
    whole = fft_c2c(self, dim, normalization, True)
    axis = dim[-1] % self.ndim
    kept = self.shape[axis] // 2 + 1 if onesided else self.shape[axis]
    return SymbolicTensor((*self.shape[:axis], kept, *self.shape[axis + 1 :]), lambda index: whole[index])


@symbolic_rule(aten._fft_c2r.default)
def fft_c2r(self: SymbolicTensor, dim: Sequence[int], normalization: int, last_dim_size: int) -> SymbolicTensor:
    """The last of the dims holds one half of its spectrum; the other is its conjugate, so what comes out is real."""
    half = self
    for other in dim[:-1]:
        half = _transformed(half, other % self.ndim, 1)
    axis = dim[-1] % self.ndim
    roots = _roots_of_unity(last_dim_size, 1)
    counts = [1 if 2 * k in (0, last_dim_size) else 2 for k in range(last_dim_size // 2 + 1)]

    def pull(index: Index) -> Scalar:
        numbers, weights = [], []
        for k, count in enumerate(counts):
            element = half[(*index[:axis], k, *index[axis + 1 :])]
            root = roots[k * index[axis] % last_dim_size]
            numbers += [sc.real_part(element), sc.imaginary_part(element)]
            weights += [_scaled(root.real, count), _scaled(root.imaginary, -count)]
        return sc.dot(numbers, weights)

    shape = (*self.shape[:axis], last_dim_size, *self.shape[axis + 1 :])
    result = SymbolicTensor(shape, pull)
    return _normalized(result, normalization, result.count(dim))


def _transformed(x: SymbolicTensor, axis: int, sign: int) -> SymbolicTensor:
    """The sums of x[n] exp(sign 2πi kn/N) over one dim."""
    size = x.shape[axis]
    roots = _roots_of_unity(size, sign)

    def pull(index: Index) -> Scalar:
        terms = [x[(*index[:axis], n, *index[axis + 1 :])] for n in range(size)]
        return sc.dot(terms, [roots[index[axis] * n % size] for n in range(size)])

    return SymbolicTensor(x.shape, pull)


def _roots_of_unity(count: int, sign: int) -> list[Pair]:
    angles = [MP.mpf(2 * sign * k) / count for k in range(count)]
    return [Pair(Scalar(MP.cospi(angle), 1.0), Scalar(MP.sinpi(angle), 1.0)) for angle in angles]


def _scaled(root: Scalar, factor: int) -> Scalar:
    return Scalar(root.value * factor, abs(factor) * root.error)


def _normalized(x: SymbolicTensor, normalization: int, count: int) -> SymbolicTensor:
    """0: as it is, 1: by the square root of the number of elements, 2: by that number."""
    if normalization == 0:
        return x
    factor = 1 / (MP.sqrt(count) if normalization == 1 else MP.mpf(count))
    scale = Scalar(factor, float(factor))
    return SymbolicTensor(x.shape, lambda index: sc.dot([x[index]], [scale]))
