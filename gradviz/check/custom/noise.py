"""Random errors of the size that rounding makes, put into calls that are run again: stochastic arithmetic.

After Vignes' CESTAC method: how far the result of many steps moves when every step is moved at random says how far rounding
may take it. The sum of many terms is moved in each of its terms, so far that it moves as the sum of their partial sums'
roundings does; see `symbolic.rounding.spread`.

At the ends of a dtype's range errors are of another kind. Below the normal numbers rounding no longer shrinks with what is
rounded: where that is asked for, numbers are moved there by as much as the smallest normal one is, and those beyond the
largest are infinite. What a call squares within itself, as a norm does, leaves the range earlier: what it made says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradviz.check.custom.lengths import backward_length, dtype_of_sums, forward_length, is_elementwise
from gradviz.opcall import OpCall, is_inexact
from gradviz.standin import is_kept
from gradviz.symbolic import unit_roundoff
from gradviz.symbolic.rounding import ROUGHER, spread

_FAR_OFF = 2.0**4
"""So many units in the last place are more than rounding, where nothing cancels."""
_NEAR_ROOT = 2.0**12
"""Squares of numbers so many times the root of the smallest normal number have lost digits to others beside them."""


@dataclass(slots=True)
class RangeEnds:
    """Asks for what happens at the ends of a dtype's range.

    Attributes:
        exact: what was made (the id of the snapshot) -> its numbers in float64, without errors.
        underflowed: whether there were numbers below the normal ones.
        overflowed: whether there were numbers beyond the largest.
    """

    exact: Mapping[int, Tensor]
    underflowed: bool = False
    overflowed: bool = False

    def with_squares_lost(self, tensor: Tensor, made: Tensor) -> Tensor:
        """The tensor, with the errors of what was made in its place where they are large and its squares leave the range."""
        exact = self.exact.get(id(made))
        if exact is None or not is_kept(made) or not made.shape == exact.shape == tensor.shape:
            return tensor
        kind, recorded = torch.finfo(made.dtype), made.detach().to("cpu", torch.float64)
        is_off = ~((recorded - exact).abs() <= _FAR_OFF * kind.eps * exact.abs()) & exact.isfinite()
        is_small = is_off & (exact.abs() < _NEAR_ROOT * math.sqrt(kind.tiny))
        is_large = is_off & ~recorded.isfinite()
        self.underflowed |= bool(is_small.any())
        self.overflowed |= bool(is_large.any())
        lost = is_small | is_large
        return tensor + torch.where(lost, recorded - exact, 0.0) if lost.any() else tensor


class Noise:
    """What calls of a working dtype are moved by.

    Args:
        unit: u of the working dtype, the coarsest rounding that is granted; a call that computes in a finer one gets less.
        move: the relative size of the errors that stand for u; 0 for none.
        random: drawn from.
        ends: is told which ends of the range were met; None: as if there were none.
    """

    def __init__(self, unit: float, move: float, random: torch.Generator, ends: RangeEnds | None = None) -> None:
        self._unit = unit
        self._move = move
        self._random = random
        self._ends = ends

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

    @property
    def is_any(self) -> bool:
        """Whether anything is moved."""
        return self._move > 0

    def within(self, call: OpCall, tensor: Tensor) -> Tensor:
        """What a call computes on its way to a result, by a function that is taken less accurately than a sum is."""
        rounding = ROUGHER["erf"] * self._of_sums(call)
        return self._moved(tensor, rounding, rounding)

    def result(self, call: OpCall, place: int, tensor: Tensor) -> Tensor:
        """A result of a call, and the cotangent that comes back to it."""
        made = call.outputs[place]
        if made is None or not self._move:
            return tensor
        rounding = self._of(made.dtype)
        moved = self._moved(tensor, rounding, max(rounding, spread(round(backward_length(call))) * self._of_sums(call)))
        return moved if self._ends is None else self._held(moved, made, self._ends)

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

    def _held(self, tensor: Tensor, made: Tensor, ends: RangeEnds) -> Tensor:
        """The tensor as the dtype of what was made holds it at the ends of its range.

        The cotangents of it underflow, but do not overflow: it is torch's own formula that they are made by, and not
        everybody forms the powers that it does.
        """
        if not tensor.is_floating_point() or not made.is_floating_point():
            return tensor
        kind = torch.finfo(made.dtype)
        reach = kind.tiny * self._of(made.dtype)

        def underflown(numbers: Tensor) -> Tensor:
            is_small = (numbers.abs() < kind.tiny) & (numbers != 0)
            if not is_small.any():
                return numbers
            ends.underflowed = True
            return numbers + self._uniform(numbers, -reach, reach) * is_small

        moved = underflown(ends.with_squares_lost(tensor, made))
        is_large = (moved.abs() > kind.max) & moved.isfinite()
        if is_large.any():
            ends.overflowed = True
            moved = torch.where(is_large, moved * math.inf, moved)
        if moved.requires_grad:
            moved = moved.view_as(moved) if moved is tensor else moved
            moved.register_hook(underflown)
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
