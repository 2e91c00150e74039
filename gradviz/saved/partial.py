"""`SavedPartial`: a local partial without autograd's node. It has shapes, formula and, where it is small, its numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradviz.errors import PartialError
from gradviz.opcall import OpCall

if TYPE_CHECKING:
    import sympy

    from gradviz.graph import Edge

MAX_ELEMENTS = 4096
"""A Jacobian with at most this many elements is saved."""


class SavedPartial:
    """d(head)/d(tail) across one edge of a loaded graph.

    Attributes:
        edge: (tail, head, argument position).
        in_shape, out_shape: of the producer's and the consumer's value.
    """

    __slots__ = ("_arguments", "_call", "_head", "_jacobian", "edge", "in_shape", "out_shape")

    def __init__(
        self,
        *,
        edge: Edge,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        jacobian: Tensor | None,
        call: OpCall | None,
        arguments: tuple[str, ...],
        head: str,
    ) -> None:
        self.edge = edge
        self.in_shape = in_shape
        self.out_shape = out_shape
        self._jacobian = jacobian
        self._call = call
        self._arguments = arguments
        self._head = head

    def of_output(self, output: int) -> SavedPartial:
        """The partial of the first used output is saved, of no other.

        Raises:
            PartialError: `output` is another.
        """
        if output != 0:
            raise PartialError(f"edge {self.edge}: of a saved graph only the partial of the first output is kept")
        return self

    def jacobian(self) -> Tensor:
        """The dense local Jacobian, shape `(*out, *in)`.

        Raises:
            PartialError: it was too large to be saved.
        """
        if self._jacobian is None:
            size = math.prod(self.out_shape) * math.prod(self.in_shape)
            raise PartialError(
                f"edge {self.edge}: its Jacobian has {size} elements and was not saved; files hold up to {MAX_ELEMENTS}, of "
                "real numbers, and a loaded graph has no autograd node to ask"
            )
        return self._jacobian

    def diagonal(self) -> Tensor:
        """The diagonal of the Jacobian, shaped like both sides.

        Raises:
            PartialError: the Jacobian was not saved, or is not diagonal.
        """
        size = math.prod(self.in_shape)
        if self.in_shape != self.out_shape:
            raise PartialError(f"edge {self.edge} maps shape {self.in_shape} to {self.out_shape}: no diagonal; use jacobian")
        dense = self.jacobian().reshape(size, size)
        diagonal = dense.diagonal()
        if int(torch.count_nonzero(dense)) != int(torch.count_nonzero(diagonal)):
            raise PartialError(f"the Jacobian of edge {self.edge} is not diagonal; use jacobian, vjp or jvp")
        return diagonal.reshape(self.in_shape).clone()

    def vjp(self, cotangent: Tensor) -> Tensor:
        """The contribution to the producer's cotangent that `cotangent`, shaped like the consumer, makes."""
        if tuple(cotangent.shape) != self.out_shape:
            raise PartialError(f"the cotangent has shape {tuple(cotangent.shape)}; edge {self.edge} needs {self.out_shape}")
        dense = self.jacobian()
        found: Tensor = torch.tensordot(cotangent.to(dense), dense, dims=cotangent.ndim)
        return found

    def jvp(self, tangent: Tensor) -> Tensor:
        """The consumer's tangent for a tangent of the producer, shaped like the producer."""
        if tuple(tangent.shape) != self.in_shape:
            raise PartialError(f"the tangent has shape {tuple(tangent.shape)}; edge {self.edge} needs {self.in_shape}")
        dense = self.jacobian()
        found: Tensor = torch.tensordot(dense, tangent.to(dense), dims=tangent.ndim)
        return found

    def __float__(self) -> float:
        if math.prod(self.in_shape) != 1 or math.prod(self.out_shape) != 1:
            raise PartialError(
                f"edge {self.edge} maps shape {self.in_shape} to {self.out_shape}: not one number; use jacobian, vjp or jvp"
            )
        return float(self.jacobian().item())

    @property
    def formula(self) -> sympy.Basic | None:
        """The partial as a sympy expression in the names of the intermediate variables; None where there is no rule."""
        from gradviz.symbolic import local_formula

        return None if self._call is None else local_formula(self._call, self.edge[2], self._arguments, self._head)

    @property
    def latex(self) -> str:
        """`formula` as LaTeX; "" where there is none."""
        from gradviz.symbolic import formula_latex

        formula = self.formula
        return "" if formula is None else formula_latex(formula)

    def __repr__(self) -> str:
        return f"<SavedPartial of edge {self.edge}: {self.out_shape} x {self.in_shape}>"
