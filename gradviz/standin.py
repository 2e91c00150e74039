"""`StandIn`: what a graph holds in the place of a tensor whose elements it did not keep, or keeps in main memory.

It has the shape, strides, dtype and device of the tensor. Whoever computes with it gets the elements, brought back to their
device, or, where only statistics were kept, a `NotKeptError` that says so: nothing is ever computed from numbers that are
not there.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from gradviz.errors import NotKeptError
from gradviz.statistics import BINS, Statistics, statistics_of

aten = torch.ops.aten


class StandIn(Tensor):
    """A tensor without elements of its own.

    Attributes:
        statistics: of the elements; None where they could not be computed any more.
        reason: why the elements are not kept, as part of a sentence; "" where they are.
        elements: the tensor in main memory; None where it was not kept.
    """

    statistics: Statistics | None
    reason: str
    elements: Tensor | None

    @staticmethod
    def __new__(
        cls, like: Tensor, *, reason: str = "", statistics: Statistics | None = None, elements: Tensor | None = None
    ) -> StandIn:
        made: StandIn = Tensor._make_wrapper_subclass(
            cls, like.shape, strides=like.stride(), dtype=like.dtype, layout=like.layout, device=like.device
        )
        made.statistics, made.reason, made.elements = statistics, reason, elements
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (aten.detach.default, aten.alias.default):
            return args[0].copy()
        if func is aten.empty_like.default:  # asks how the elements lie in memory, and for none of them
            like: StandIn = args[0]
            empty = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
            return func(empty, *args[1:], **{"device": like.device, **(kwargs or {})})
        return func(*tree_map_only(StandIn, _brought_back, args), **tree_map_only(StandIn, _brought_back, kwargs or {}))

    def copy(self) -> StandIn:
        """Another one for the same elements."""
        return StandIn(self, reason=self.reason, statistics=self.statistics, elements=self.elements)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing can be written to it

    def numpy(self, *, force: bool = False) -> Any:
        return _brought_back(self).numpy(force=force)

    def tolist(self) -> Any:
        return _brought_back(self).tolist()

    def data_ptr(self) -> int:
        if self.elements is None:
            raise NotKeptError(self.reason)
        return self.elements.data_ptr()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        what = self.reason or "kept in main memory"
        return f"StandIn({str(self.dtype).removeprefix('torch.')} {list(self.shape)}, {what})"


def is_kept(tensor: Tensor) -> bool:
    """Whether the elements of a tensor of a graph can be read."""
    return not isinstance(tensor, StandIn) or tensor.elements is not None


def statistics_kept(tensor: Tensor) -> Statistics | None:
    """The statistics of a tensor of a graph: those that stand in for it, or its own; None where neither can be had."""
    if isinstance(tensor, StandIn) and tensor.elements is None:
        return tensor.statistics
    return statistics_of(tensor, bins=BINS)


def _brought_back(standin: StandIn) -> Tensor:
    if standin.elements is None:
        raise NotKeptError(standin.reason)
    return standin.elements.to(standin.device)
