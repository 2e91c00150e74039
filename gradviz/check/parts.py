"""Complex tensors as the check sees them: real ones with a last dimension of two, the real and the imaginary part.

Autograd keeps as the gradient of a real loss at z = x + iy the number ∂L/∂x + i ∂L/∂y. Between cotangents kept so, a node's
VJP is that of the real function of the parts (see `symbolic/analytic.py`, which cites torch's documentation): nothing is
conjugated or halved on the way from one form to the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradviz.errors import PartialError
from gradviz.partials import MAX_JACOBIAN_ELEMENTS, LocalPartial, vjps


def parts_of(tensor: Tensor) -> Tensor:
    """A complex tensor's real and imaginary parts, in a last dimension of two; a real tensor as it is.

    >>> parts_of(torch.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    if not tensor.is_complex():
        return tensor
    return torch.view_as_real((tensor if tensor.layout is torch.strided else tensor.to_dense()).resolve_conj())


def joined(parts: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor whose `parts_of` these are, where `dtype` is complex; else the tensor as it is.

    >>> joined(torch.tensor([[1.0, 2.0]]), torch.complex64)
    tensor([1.+2.j])
    """
    return torch.view_as_complex(parts.contiguous()) if dtype.is_complex else parts


def parts_shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape of `parts_of` the tensor."""
    return (*tensor.shape, 2) if tensor.is_complex() else tuple(tensor.shape)


@dataclass(frozen=True, slots=True)
class PartialOfParts:
    """A local partial between the parts of its tail and of its head; see `LocalPartial`, whose methods these are."""

    whole: LocalPartial

    @property
    def in_shape(self) -> tuple[int, ...]:
        return (*self.whole.in_shape, 2) if self.whole.in_dtype.is_complex else self.whole.in_shape

    @property
    def out_shape(self) -> tuple[int, ...]:
        return (*self.whole.out_shape, 2) if self.whole.out_dtype.is_complex else self.whole.out_shape

    def writes_to_cotangent(self) -> bool:
        return self.whole.writes_to_cotangent()

    def vjp(self, cotangent: Tensor) -> Tensor:
        return parts_of(self.whole.vjp(joined(cotangent, self.whole.out_dtype)))

    def jacobian(self) -> Tensor:
        rows, columns = math.prod(self.out_shape), math.prod(self.in_shape)
        if rows * columns > MAX_JACOBIAN_ELEMENTS:
            raise PartialError(f"the dense Jacobian would have {rows} x {columns} elements; use vjp")
        basis = torch.eye(rows, dtype=torch.float64).reshape((rows, *self.out_shape))
        found = [self.vjp(row) for row in basis]
        if not found:
            return torch.zeros((*self.out_shape, *self.in_shape), dtype=torch.float64)
        return torch.stack(found).reshape((*self.out_shape, *self.in_shape))


Partial = LocalPartial | PartialOfParts


def answers_of(partials: Sequence[Partial], cotangent: Tensor) -> list[Tensor]:
    """What the autograd node answers, along edges into one output, to the very tensor that reached it, complex or real."""
    return vjps([partial.whole if isinstance(partial, PartialOfParts) else partial for partial in partials], cotangent)


def vjps_of(partials: Sequence[Partial], cotangent: Tensor) -> list[Tensor]:
    """The VJP along each of several edges into one output of one head."""
    if not partials or isinstance(partials[0], LocalPartial):
        return [parts_of(answer) for answer in answers_of(partials, cotangent)]
    return [parts_of(answer) for answer in answers_of(partials, joined(cotangent, partials[0].whole.out_dtype))]


def of_parts(partial: LocalPartial) -> Partial:
    """The partial between parts where one side is complex; else the partial itself."""
    return PartialOfParts(partial) if partial.in_dtype.is_complex or partial.out_dtype.is_complex else partial
