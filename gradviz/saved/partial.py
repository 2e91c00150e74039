"""`SavedPartial`: a local partial without autograd's node. It has shapes, formula and, where it is small, its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradviz.edge_partial import EdgePartial
from gradviz.errors import PartialError
from gradviz.opcall import OpCall
from gradviz.recording.hooks import NodeHooks

if TYPE_CHECKING:
    from gradviz.graph import Edge

MAX_ELEMENTS = 4096
"""A Jacobian with at most this many elements is saved."""


class SavedPartial(EdgePartial):
    """d(head)/d(tail) across one edge of a loaded graph."""

    __slots__ = ("_arguments", "_in_shape", "_jacobian", "_out_shape", "_recorded", "_result", "in_dtype", "out_dtype")

    def __init__(
        self,
        *,
        edge: Edge,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        in_dtype: torch.dtype,
        out_dtype: torch.dtype,
        jacobian: Tensor | None,
        call: OpCall | None,
        arguments: tuple[str, ...],
        head: str,
    ) -> None:
        self.edge = edge
        self._in_shape = in_shape
        self._out_shape = out_shape
        self.in_dtype = in_dtype
        self.out_dtype = out_dtype
        self._jacobian = jacobian
        self._recorded = call
        self._arguments = arguments
        self._result = head

    @property
    def in_shape(self) -> tuple[int, ...]:
        return self._in_shape

    @property
    def out_shape(self) -> tuple[int, ...]:
        return self._out_shape

    def of_output(self, output: int) -> SavedPartial:
        """The partial of the first used output is saved, of no other.

        Raises:
            PartialError: `output` is another.
        """
        if output != 0:
            raise PartialError(f"{self._where}: of a saved graph only the partial of the first output is kept")
        return self

    def jacobian(self) -> Tensor:
        """The dense local Jacobian, shape `(*out, *in)`.

        Raises:
            PartialError: it was not saved, being too large, complex, or over the file's budget.
        """
        if self._jacobian is None:
            size = math.prod(self.out_shape) * math.prod(self.in_shape)
            raise PartialError(
                f"{self._where}: its Jacobian has {size} elements and was not saved; files hold up to {MAX_ELEMENTS}, of "
                "real numbers, as far as their max_bytes allows, and a loaded graph has no autograd node to ask. Derive it "
                "where the code is traced, or derive a value that lies behind this edge, nearer to the output"
            )
        return self._jacobian

    def diagonal(self) -> Tensor:
        """The diagonal of the Jacobian of an elementwise function, shaped like both sides.

        Raises:
            PartialError: the function is not elementwise, or broadcasts this argument, or the Jacobian was not saved.
        """
        if not self._is_elementwise:
            return super().diagonal()
        size = math.prod(self.in_shape)
        return self.jacobian().reshape(size, size).diagonal().reshape(self.in_shape).clone()

    @property
    def _is_elementwise(self) -> bool:
        call = self._recorded
        return self.in_shape == self.out_shape and call is not None and torch.Tag.pointwise in call.overload.tags

    def vjp(self, cotangent: Tensor) -> Tensor:
        """The contribution to the producer's cotangent that `cotangent`, shaped like the consumer, makes.

        Raises:
            PartialError: wrong shape, or the Jacobian was not saved.
        """
        self._require_shape("cotangent", cotangent, self.out_shape)
        dense = self.jacobian()
        if self._is_elementwise:  # of infinite slopes a product with the whole matrix makes NaN, by its zeros
            return cotangent.to(dense) * self.diagonal()
        found: Tensor = torch.tensordot(cotangent.to(dense), dense, dims=cotangent.ndim)
        return found

    def hooks(self) -> NodeHooks:
        """None that lies on the autograd node now, as there is no node; `GradGraph.node_hooks` tells those of the trace."""
        return NodeHooks()

    @property
    def _call(self) -> OpCall | None:
        return self._recorded

    @property
    def _names(self) -> tuple[Sequence[str], str]:
        return self._arguments, self._result
