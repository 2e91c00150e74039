"""`EdgePartial`: what the partial across an edge tells whichever way its Jacobian is had, from autograd or from a file."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradviz.errors import PartialError

if TYPE_CHECKING:
    import sympy

    from gradviz.graph import Edge
    from gradviz.opcall import OpCall


class EdgePartial(ABC):
    """d(head)/d(tail) across one edge: what follows from its shapes, its Jacobian and the recorded call of its head.

    Attributes:
        edge: (tail, head, argument position).
    """

    __slots__ = ("edge",)
    edge: Edge

    @property
    @abstractmethod
    def in_shape(self) -> tuple[int, ...]:
        """Shape of the producer's value."""

    @property
    @abstractmethod
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the consumer's value."""

    @property
    @abstractmethod
    def _call(self) -> OpCall | None:
        """The recorded call of the head."""

    @property
    @abstractmethod
    def _names(self) -> tuple[Sequence[str], str]:
        """What the arguments of the head, by position, and the head are called."""

    @abstractmethod
    def jacobian(self) -> Tensor:
        """The dense local Jacobian, shape `(*out, *in)`."""

    def jvp(self, tangent: Tensor) -> Tensor:
        """The consumer's tangent for a tangent of the producer, shaped like the producer."""
        self._require_shape("tangent", tangent, self.in_shape)
        dense = self.jacobian()
        found: Tensor = torch.tensordot(dense, tangent.to(dense), dims=tangent.ndim)
        return found

    def diagonal(self) -> Tensor:
        """The diagonal of the Jacobian of an elementwise function, shaped like both sides.

        Raises:
            PartialError: the function is not elementwise, or broadcasts this argument.
        """
        if self.in_shape != self.out_shape:
            raise PartialError(f"{self._where} maps shape {self.in_shape} to {self.out_shape}: no diagonal; use jacobian")
        size = math.prod(self.in_shape)
        dense = self.jacobian().reshape(size, size)
        diagonal = dense.diagonal()
        if int(torch.count_nonzero(dense)) != int(torch.count_nonzero(diagonal)):
            raise PartialError(f"the Jacobian of {self._where} is not diagonal; use jacobian, vjp or jvp")
        return diagonal.reshape(self.in_shape).clone()

    def __float__(self) -> float:
        if math.prod(self.in_shape) != 1 or math.prod(self.out_shape) != 1:
            raise PartialError(
                f"{self._where} maps shape {self.in_shape} to {self.out_shape}: not one number; use jacobian, vjp or jvp"
            )
        number = self._only_element().item()
        if isinstance(number, complex):
            raise PartialError(f"the partial of {self._where} is a complex number; use jacobian, vjp or jvp")
        return float(number)

    def _only_element(self) -> Tensor:
        """The Jacobian between two single numbers."""
        return self.jacobian()

    @property
    def formula(self) -> sympy.Basic | None:
        """The partial as a sympy expression in the names of the intermediate variables; None where there is no rule."""
        from gradviz.symbolic import local_formula

        return None if self._call is None else local_formula(self._call, self.edge[2], *self._names)

    @property
    def latex(self) -> str:
        """`formula` as LaTeX; "" where there is none."""
        from gradviz.symbolic import formula_latex

        formula = self.formula
        return "" if formula is None else formula_latex(formula)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._where}: {self.out_shape} x {self.in_shape}>"

    @property
    def _where(self) -> str:
        """The edge by the names of its ends, and by its key in the graph."""
        arguments, head = self._names
        return f"edge {arguments[self.edge[2]]} → {head} {self.edge}"

    def _require_shape(self, what: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
        if tuple(tensor.shape) != shape:
            raise PartialError(f"the {what} has shape {tuple(tensor.shape)}; {self._where} needs {shape}")
