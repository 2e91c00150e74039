"""`StandIn`: what a graph holds in the place of a tensor whose elements it keeps elsewhere, computes again, or did not keep.

It has the shape, strides, dtype and device of the tensor. Whoever computes with it gets the elements, brought back to their
device or computed again, or, where only statistics were kept, a `NotKeptError` that says so: nothing is ever computed from
numbers that are not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch.utils._pytree import tree_map_only

from gradviz.errors import NotKeptError
from gradviz.statistics import BINS, Statistics, statistics_of

aten = torch.ops.aten


class Again(Protocol):
    """What computes a tensor once more."""

    def __call__(self) -> Tensor:
        """The tensor."""

    @property
    def why_lost(self) -> str:
        """Why that cannot be done any more, as part of a sentence; "" where it can."""


class StandIn(Tensor):
    """A tensor without elements of its own.

    Attributes:
        statistics: of the elements; None where they could not be computed any more.
        held: the tensor in main memory; None where it is not held.
        again: computes the tensor once more; None where nothing does.
    """

    statistics: Statistics | None
    held: Tensor | None
    again: Again | None
    _reason: str

    @staticmethod
    def __new__(
        cls,
        like: Tensor,
        *,
        reason: str = "",
        statistics: Statistics | None = None,
        held: Tensor | None = None,
        again: Again | None = None,
    ) -> StandIn:
        made: StandIn = Tensor._make_wrapper_subclass(
            cls, like.shape, strides=like.stride(), dtype=like.dtype, layout=like.layout, device=like.device
        )
        made.statistics, made._reason, made.held, made.again = statistics, reason, held, again
        return made

    @property
    def elements(self) -> Tensor | None:
        """The tensor itself; None where it was not kept."""
        return self.again() if self.held is None and self.again is not None and not self.again.why_lost else self.held

    @property
    def reason(self) -> str:
        """Why the elements are not kept, as part of a sentence; "" where they are."""
        return self._reason if self.held is not None or self.again is None else self.again.why_lost

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (aten.detach.default, aten.alias.default):
            with torch.inference_mode(args[0].is_inference()):  # torch lets a view of it be nothing else
                return args[0].copy()
        if func is aten.empty_like.default:  # asks how the elements lie in memory, and for none of them
            like: StandIn = args[0]
            empty = torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device="meta")
            return func(empty, *args[1:], **{"device": like.device, **(kwargs or {})})
        return func(*tree_map_only(StandIn, _brought_back, args), **tree_map_only(StandIn, _brought_back, kwargs or {}))

    def copy(self) -> StandIn:
        """Another one for the same elements."""
        return StandIn(self, reason=self._reason, statistics=self.statistics, held=self.held, again=self.again)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing can be written to it

    def numpy(self, *, force: bool = False) -> Any:
        return _brought_back(self).numpy(force=force)

    def tolist(self) -> Any:
        return _brought_back(self).tolist()

    def data_ptr(self) -> int:
        if not is_kept(self):
            raise NotKeptError(self.reason)
        return 0 if self.held is None else self.held.data_ptr()

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        what = self.reason or ("kept in main memory" if self.again is None else "computed again when it is read")
        return f"StandIn({str(self.dtype).removeprefix('torch.')} {list(self.shape)}, {what})"


def is_kept(tensor: Tensor) -> bool:
    """Whether the elements of a tensor of a graph can be read."""
    if not isinstance(tensor, StandIn) or tensor.held is not None:
        return True
    return tensor.again is not None and not tensor.again.why_lost


def statistics_kept(tensor: Tensor) -> Statistics | None:
    """The statistics of a tensor of a graph: those that stand in for it, or its own; None where neither can be had."""
    if isinstance(tensor, StandIn) and not is_kept(tensor):
        return tensor.statistics
    return statistics_of(tensor, bins=BINS)


def _brought_back(standin: StandIn) -> Tensor:
    with _marks_heeded():
        elements = standin.elements
        if elements is None:
            raise NotKeptError(standin.reason)
        return elements.resolve_conj().resolve_neg().to(standin.device)


@contextmanager
def _marks_heeded() -> Iterator[None]:
    """Within `__torch_dispatch__` ops take tensors that are only marked as conjugated or negated for what lies in memory."""
    with torch._C._PreserveDispatchKeyGuard():
        for mark in (DispatchKey.Conjugate, DispatchKey.Negative, DispatchKey.ZeroTensor):
            torch._C._dispatch_tls_set_dispatch_key_excluded(mark, False)
        yield
