"""Rules of ops that draw random numbers: what was drawn is known from what was recorded."""

from __future__ import annotations

from typing import Any

import sympy as sp
import torch
from torch import Tensor

from gradviz.symbolic.arithmetic import EXACT
from gradviz.symbolic.entered import numbers
from gradviz.symbolic.function import ScalarFunction
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import SymbolicTensor

aten = torch.ops.aten
_x, _slope = sp.symbols("x slope", real=True)
_LEAKY = ScalarFunction("rrelu", (_x, _slope), sp.Piecewise((_x, _x > 0), (_x * _slope, True)), kinks={"rrelu at 0": _x})


@symbolic_rule(aten.bernoulli.default, aten.poisson.default, needs_outputs=True)
def steps(self: SymbolicTensor, generator: Any = None, *, outputs: tuple[Tensor, ...]) -> SymbolicTensor:
    """Whole numbers: with the random numbers held fixed a step function, whose derivative is 0."""
    return numbers(outputs[0])


@symbolic_rule(aten.rrelu_with_noise.default, needs_outputs=True)
def rrelu(
    self: SymbolicTensor,
    noise: SymbolicTensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Any = None,
    *,
    outputs: tuple[Tensor, ...],
) -> SymbolicTensor:
    """x, or where it is negative a slope times x: in training one that was drawn, which the result tells to a rounding."""
    result = numbers(outputs[0])

    def slope(at: tuple[int, ...]) -> Scalar:
        x = self[at].value
        if not training or not x < 0:
            return Scalar(EXACT.number((lower + upper) / 2), abs(lower + upper))
        drawn = result[at].value / x
        return Scalar(min(max(drawn, EXACT.number(lower)), EXACT.number(upper)), abs(float(drawn)))

    return self.map(_LEAKY, SymbolicTensor(self.shape, slope))
