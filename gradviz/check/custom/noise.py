"""Random errors of the size that rounding makes, put into calls that are run again: stochastic arithmetic.

After Vignes' CESTAC method: how far the result of many steps moves when every step is moved at random says how far rounding
may take it. The sum of many terms is moved in each of its terms, so far that it moves as the sum of their partial sums'
roundings does; see `symbolic.rounding.spread`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gradviz.check.custom.lengths import backward_length, dtype_of_sums, forward_length, is_elementwise
from gradviz.opcall import OpCall, is_inexact
from gradviz.symbolic import unit_roundoff
from gradviz.symbolic.rounding import spread


class Noise:
    """What calls of a working dtype are moved by.

    Args:
        unit: u of the working dtype, the coarsest rounding that is granted; a call that computes in a finer one gets less.
        move: the relative size of the errors that stand for u; 0 for none.
        random: drawn from.
    """

    def __init__(self, unit: float, move: float, random: torch.Generator) -> None:
        self._unit = unit
        self._move = move
        self._random = random

    def entered(self, tensor: Tensor, dtype: torch.dtype) -> Tensor:
        """A value as it comes in, in the dtype that it had."""
        return self._moved(tensor, self._of(dtype), self._of(dtype))

    def arguments(self, call: OpCall, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The arguments of a call, moved for the sums that it adds up, and for those over what it broadcasts."""
        if not self._move:
            return list(tensors)
        shape = next((tuple(output.shape) for output in call.outputs if output is not None), ())
        within = spread(round(forward_length(call))) * self._of_sums(call)
        moved = []
        for tensor in tensors:
            one = self._moved(tensor, within, 0.0) if within else tensor
            if is_elementwise(call) and is_inexact(one) and 0 < one.numel() < math.prod(shape) and one.ndim <= len(shape):
                terms = math.prod(shape) // one.numel()
                one = self._moved(one.expand(shape), 0.0, spread(terms) * self._of_sums(call))
            moved.append(one)
        return moved

    def result(self, call: OpCall, place: int, tensor: Tensor) -> Tensor:
        """A result of a call, and the cotangent that comes back to it."""
        made = call.outputs[place]
        if made is None or not self._move:
            return tensor
        rounding = self._of(made.dtype)
        return self._moved(tensor, rounding, max(rounding, spread(round(backward_length(call))) * self._of_sums(call)))

    def _of(self, dtype: torch.dtype) -> float:
        return self._move * min(1.0, unit_roundoff(dtype) / self._unit) if self._unit else 0.0

    def _of_sums(self, call: OpCall) -> float:
        made = next((output for output in call.outputs if output is not None), None)
        return 0.0 if made is None else self._of(dtype_of_sums(made.dtype))

    def _moved(self, tensor: Tensor, forward: float, backward: float) -> Tensor:
        """The tensor with random relative errors in its value and in the cotangent that comes back to it."""
        if not self._move or not is_inexact(tensor):
            return tensor
        moved = tensor * self._factor(tensor, forward) if forward else tensor
        if backward and moved.requires_grad:
            moved = moved.view_as(moved) if moved is tensor else moved
            back = self._factor(tensor, backward)
            moved.register_hook(lambda cotangent: cotangent * back)
        return moved

    def _factor(self, tensor: Tensor, size: float) -> Tensor:
        """1 and a relative error up to this size for each element; of a complex number one in any direction.

        Drawn in one pass: passes over large tensors are what a check of an elementwise function spends its time on.
        """
        if tensor.is_complex():
            return torch.complex(self._uniform(tensor, 1 - size, 1 + size), self._uniform(tensor, -size, size))
        return self._uniform(tensor, 1 - size, 1 + size)

    def _uniform(self, tensor: Tensor, low: float, high: float) -> Tensor:
        return torch.empty(tensor.shape, dtype=torch.float64).uniform_(low, high, generator=self._random)
