"""Remembers what each tensor held at each call, while in-place ops change tensors under our hands.

Right before a write, every recorded tensor that shares the written storage is copied once. Nothing is copied where nothing
is written, and nothing is indexed before the first write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import Node

MAX_COPIED_BYTES = 2**20
"""Leaves up to this size are copied, so that the graph keeps their values through an optimizer step; larger ones are not."""


class Carried(NamedTuple):
    """A tensor that stood for output `output` of an autograd node until the write at `time`."""

    node: Node
    output: int
    tensor: Tensor
    time: int


class Versions:
    """The versions of recorded tensors. "Time" is the index of a call; a write at time t ends the versions before it.

    Attributes:
        carried: for which autograd nodes tensors stood until they were written to.
    """

    def __init__(self) -> None:
        self._by_storage: dict[int, dict[int, Tensor]] = {}
        self._ended: dict[int, list[tuple[int, Tensor]]] = {}
        self._writes: dict[int, list[int]] = {}
        self._snapshots: dict[tuple[int, int], Tensor] = {}
        self._used: set[int] = set()
        self.carried: list[Carried] = []

    def register(self, tensors: Iterable[Tensor]) -> None:
        """Makes tensors known, so that a later write to their storage keeps what they hold now."""
        for tensor in tensors:
            self._by_storage.setdefault(_storage_key(tensor), {})[id(tensor)] = tensor
            self._used.add(id(tensor))

    def end(self, tensor: Tensor, time: int) -> None:
        """To be called right before call `time` writes to `tensor`: copies all that shares its storage."""
        self.register((tensor,))
        key = _storage_key(tensor)
        self._writes.setdefault(key, []).append(time)
        with torch.no_grad():
            for sharing in self._by_storage[key].values():
                self._ended.setdefault(id(sharing), []).append((time, sharing.detach().clone()))
                # A view that nothing used since its base was written to would get a new node, made for whoever asks.
                if sharing._base is None or id(sharing) in self._used:
                    self._used.discard(id(sharing))
                    if sharing.grad_fn is not None:
                        self.carried.append(Carried(sharing.grad_fn, sharing.output_nr, sharing, time))

    def at(self, tensor: Tensor, time: int) -> Tensor:
        """What `tensor` held just after call `time`, detached; the same object for the same version."""
        versions: Sequence[tuple[int, Tensor]] = self._ended.get(id(tensor), ())
        place = next((place for place, (ended, _) in enumerate(versions) if ended > time), len(versions))
        key = (id(tensor), place)
        snapshot = self._snapshots.get(key)
        if snapshot is None:
            snapshot = self._snapshots[key] = versions[place][1] if place < len(versions) else _held(tensor)
        return snapshot

    def written(self) -> Iterator[Tensor]:
        """The recorded tensors whose storage was written to."""
        for key in self._writes:
            yield from self._by_storage[key].values()

    @property
    def any_write(self) -> bool:
        """Whether anything was written to at all."""
        return bool(self._writes)

    def last_write(self, tensor: Tensor, before: int) -> int | None:
        """The last call before call `before` that wrote to the storage of `tensor`; None where none did."""
        if not self._writes:
            return None
        return max((time for time in self._writes.get(_storage_key(tensor), ()) if time < before), default=None)


def _held(tensor: Tensor) -> Tensor:
    """What a tensor holds now. A leaf that an optimizer may step is copied, as long as that costs little memory."""
    held = tensor.detach()
    if not (tensor.requires_grad and tensor.is_leaf and held.layout is torch.strided and held.nbytes <= MAX_COPIED_BYTES):
        return held
    # A part of a larger storage stays where it is: as_strided may reach beyond the part.
    return held.clone() if held.untyped_storage().nbytes() == held.nbytes else held


def _storage_key(tensor: Tensor) -> int:
    # Sparse and other tensors without a storage of their own are written as whole objects.
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else id(tensor)
