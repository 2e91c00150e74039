"""Remembers what each tensor held at each call, while in-place ops change tensors under our hands.

Right before a write, the written storage is copied once, for all the tensors that look at it. Nothing is copied where
nothing is written, and nothing is indexed before the first write to memory that more than one tensor looks at.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.autograd.graph import Node

from gradviz.opcall import OpCall, op_call, positions_of_tensors
from gradviz.recording.data_assignment import set_data
from gradviz.recording.nodes import is_leaf, node_of
from gradviz.standin import StandIn

MAX_COPIED_BYTES = 2**20
"""Leaves up to this size are copied, so that the graph keeps them and their views through an optimizer step."""
_NOW = -1  # the place among a tensor's snapshots of what it holds in memory that it did not look at before


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
        self._whole: dict[int, dict[int, Tensor]] = {}
        self._used: dict[int, dict[int, Tensor]] = {}
        self._writes: dict[int, list[int]] = {}
        self._copies: dict[int, list[Any]] = {}
        self._aside: dict[tuple[int, int, int], Tensor] = {}
        self._snapshots: dict[tuple[int, int], Tensor] = {}
        self._have_snapshots: set[int] = set()  # ids of their tensors, to be asked first
        self._unwritten: dict[int, Tensor] = {}  # of storages that nothing was written to, until the next write
        self._written: set[int] = set()  # ids of the tensors through which something was written
        self._are_alone = True  # whether, at each write so far, no other tensor looked at the memory
        self._unfilled: set[int] = set()
        self._earlier: dict[int, list[tuple[int, Tensor]]] = {}  # until when a tensor looked at other memory, and at which
        self.carried: list[Carried] = []

    def register(self, tensors: Iterable[Tensor]) -> None:
        """Makes tensors known, so that the nodes that they stand for are noted before a later write to their storage."""
        for tensor in tensors:
            self._register(tensor, memory_of(tensor))

    def _register(self, tensor: Tensor, key: int) -> None:
        # A view that nothing used since its base was written to would get a new node, made for whoever asks.
        known = self._whole if tensor._base is None else self._used
        known.setdefault(key, {})[id(tensor)] = tensor

    def register_unfilled(self, tensors: Iterable[Tensor]) -> None:
        """Says of tensors that nothing was written to their memory yet: what it held before the first write is no value."""
        self._unfilled.update(map(memory_of, tensors))

    def end(
        self,
        tensor: Tensor,
        time: int,
        *,
        is_alone: bool = False,
        reshapes: bool = False,
        fills: bool = False,
        set_aside: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """To be called right before call `time` writes to `tensor`: copies the storage, for all tensors that share it.

        Args:
            tensor: what is written to.
            time: the index of the call.
            is_alone: whether no other tensor looks at its memory.
            reshapes: whether the call changes the tensor's shape or strides, as `transpose_` does.
            fills: whether the call writes every element of `tensor` and reads none.
            set_aside: makes what stands for a tensor where there is no room for copies; None to copy.
        """
        key = memory_of(tensor)
        self._register(tensor, key)
        self._unwritten.clear()
        self._written.add(id(tensor))
        self._are_alone &= is_alone
        writes = self._writes.setdefault(key, [])
        writes.append(time)
        copy = None
        if fills and key in self._unfilled and storage_bytes(tensor) == tensor.numel() * tensor.itemsize:
            copy, set_aside = _allocated(tensor), None
        elif set_aside is None:
            copy = _copied(tensor)
        self._unfilled.discard(key)
        self._copies.setdefault(key, []).append(copy)
        for sharing in (*self._whole.get(key, {}).values(), *self._used.pop(key, {}).values()):
            if (node := node_of(sharing)) is not None:
                self.carried.append(Carried(node, sharing.output_nr, sharing, time))
            if set_aside is not None:
                self._aside[key, id(sharing), len(writes) - 1] = set_aside(sharing)
        if reshapes:  # as it looks at its storage now, it will not any more
            for ended in self._writes[key]:
                self.at(tensor, ended - 1)

    def replace(self, tensor: Tensor, before: Tensor, time: int) -> None:
        """To be called around where `tensor` is given other memory, as by `tensor.data = other` or `tensor.set_(other)`.

        Args:
            tensor: what looks elsewhere from now on.
            before: looks at what it held until then, which it keeps in memory.
            time: the index of the call that stands for the replacement.
        """
        own, key = id(tensor), memory_of(before)
        self._are_alone = False
        self._unwritten.clear()
        for known in (self._whole, self._used):
            known.get(key, {}).pop(own, None)
        self._register(before, key)
        for place in [place for of, place in self._snapshots if of == own]:
            self._snapshots[id(before), place] = self._snapshots.pop((own, place))
            self._have_snapshots.add(id(before))
        for place in [place for of, sharing, place in self._aside if (of, sharing) == (key, own)]:
            self._aside[key, id(before), place] = self._aside.pop((key, own, place))
        self._earlier.setdefault(own, []).append((time, before))
        if (node := node_of(tensor)) is not None:
            self.carried.append(Carried(node, tensor.output_nr, tensor, time))

    def put(self, tensor: Tensor, standin: StandIn) -> None:
        """From now on `standin` is what `tensor` holds since the last write to it, which loses its memory."""
        key = memory_of(tensor)
        for ended in self._writes.get(key, ()):
            self.at(tensor, ended - 1)
        writes = self._writes.pop(key, [])  # other memory may get this key now
        self._copies.pop(key, None)
        self._snapshots[id(tensor), len(writes)] = standin
        self._have_snapshots.add(id(tensor))
        self._unwritten.pop(id(tensor), None)
        self._unfilled.discard(key)
        for known in (self._whole, self._used):
            known.get(key, {}).pop(id(tensor), None)
        set_data(tensor, torch.zeros((), dtype=tensor.dtype, device=tensor.device).expand(tensor.shape))
        if writes:
            self._writes[memory_of(tensor)] = writes

    def references(self) -> Iterator[Tensor]:
        """Each tensor as often as it is held here."""
        for known in (*self._whole.values(), *self._used.values()):
            yield from known.values()
        yield from (carried.tensor for carried in self.carried)
        for replaced in self._earlier.values():
            yield from (before for _, before in replaced)

    def was_written(self, tensor: Tensor) -> bool:
        """Whether anything was written to the storage of a tensor."""
        return memory_of(tensor) in self._writes

    def changes(self, tensor: Tensor) -> list[int]:
        """The calls that wrote to what a tensor looked at, or made it look elsewhere, in order."""
        times, since = [], 0
        for until, before in self._earlier.get(id(tensor), ()):
            times += [time for time in self._writes.get(memory_of(before), ()) if since <= time < until] + [until]
            since = until
        return times + [time for time in self._writes.get(memory_of(tensor), ()) if since <= time]

    def has_one(self, tensor: Tensor) -> bool:
        """Whether it is known, without a look at its memory, that a tensor held the same at all times."""
        # What looks at memory that was written to while another tensor alone looked at it was made after that.
        return self._are_alone and id(tensor) not in self._written

    def at(self, tensor: Tensor, time: int) -> Tensor:
        """What `tensor` held just after call `time`, detached; the same object for the same version."""
        snapshot = self._unwritten.get(id(tensor))
        return self._found(tensor, time) if snapshot is None else snapshot

    def _found(self, tensor: Tensor, time: int) -> Tensor:
        """`at` of a tensor that is not known to have held the same at all times."""
        own = id(tensor)
        if not self._are_alone or own in self._written:  # `has_one`, without a call for each tensor
            if self._earlier and own in self._earlier:
                return self._at_replaced(tensor, time)
            if (writes := self._writes.get(memory_of(tensor))) is not None:
                return self._at_written(tensor, time, writes)
        snapshot = self._snapshots.get((own, 0)) if own in self._have_snapshots else None
        if snapshot is None:
            snapshot = self._now(tensor, time) if tensor._base is not None or tensor.is_leaf else tensor.detach()
        self._unwritten[own] = snapshot
        return snapshot

    def _at_replaced(self, tensor: Tensor, time: int) -> Tensor:
        """`at` of a tensor that looked at other memory before: it is not known by its identity alone what it held."""
        own, looked_at = id(tensor), self._looked_at(tensor, time)
        if looked_at is not tensor:
            return self.at(looked_at, time)
        if (writes := self._writes.get(memory_of(tensor))) is not None:
            return self._at_written(tensor, time, writes)
        standin = self._snapshots.get((own, 0))
        return self._snapshots.setdefault((own, _NOW), self._now(tensor, time)) if standin is None else standin

    def _looked_at(self, tensor: Tensor, time: int) -> Tensor:
        """What looks at the memory that `tensor` looked at just after call `time`."""
        earlier = self._earlier.get(id(tensor), ())
        return next((before for until, before in earlier if time < until), tensor)

    def _at_written(self, tensor: Tensor, time: int, writes: Sequence[int]) -> Tensor:
        own = id(tensor)
        place = bisect.bisect_right(writes, time)
        key = (own, place)
        snapshot = self._snapshots.get(key)
        if snapshot is None:
            held = self._now(tensor, time) if place == len(writes) else self._overwritten(tensor, place)
            snapshot = self._snapshots[key] = held
            self._have_snapshots.add(own)
        return snapshot

    def held(self, values: Sequence[Any], time: int) -> tuple[Any, ...]:
        """`at` of the tensors among values, and in lists and tuples of them; all else as it is."""
        return tuple([self._held(value, time) for value in values])

    def op_call(
        self,
        time: int,
        overload: OpOverload,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        outputs: tuple[Tensor | None, ...],
    ) -> OpCall:
        """Call `time` as a value: what was `held` by its arguments before it and by its results after it.

        Of the positional arguments only those are looked at that may hold tensors. Each call of a recording comes by here.
        """
        unwritten, given, before = self._unwritten, len(args), time - 1
        held = [*args]
        for place in positions_of_tensors(overload):
            if place >= given:
                break
            value = args[place]
            if (snapshot := unwritten.get(id(value))) is not None:
                held[place] = snapshot
            elif isinstance(value, Tensor):
                held[place] = self._found(value, before)
            elif value is not None:
                held[place] = self._held(value, before)
        options = dict(zip(kwargs, self.held([*kwargs.values()], before), strict=True)) if kwargs else {}
        if len(outputs) != 1 or (one := outputs[0]) is None:
            return op_call(overload, tuple(held), options, self.held(outputs, time))
        snapshot = unwritten.get(id(one))
        return op_call(overload, tuple(held), options, (self._found(one, time) if snapshot is None else snapshot,))

    def _held(self, value: Any, time: int) -> Any:
        if isinstance(value, Tensor):
            return self.at(value, time)
        if type(value) is tuple:
            return self.held(value, time)
        return [*self.held(value, time)] if type(value) is list else value

    def _now(self, tensor: Tensor, time: int) -> Tensor:
        """What a tensor holds that nothing was written to since call `time`; of a small leaf and its views a copy."""
        base = tensor._base
        if base is None:
            is_copied = tensor.is_leaf and tensor.requires_grad and _is_copied(tensor)
            return tensor.detach().clone() if is_copied else tensor.detach()
        if not is_leaf(base) or tensor.dtype is torch.complex32:  # of which torch warns
            return tensor.detach()
        has_moved = id(base) in self._earlier or not share_memory(base, tensor)
        if has_moved or not _is_copied(base):
            return tensor.detach()
        return _seen_in(self.at(base, time).untyped_storage(), tensor)

    def _overwritten(self, tensor: Tensor, place: int) -> Tensor:
        """What `tensor` held before a write to its storage."""
        key = memory_of(tensor)
        copy = self._copies[key][place]
        if copy is not None:
            return _seen_in(copy, tensor)
        standin = self._aside.get((key, id(tensor), place))
        unknown = "the elements were not kept before an in-place op overwrote them"
        return StandIn(tensor, reason=unknown) if standin is None else standin

    def written(self) -> Iterator[Tensor]:
        """The recorded tensors that are no views and whose storage was written to."""
        for key in self._writes:
            yield from self._whole.get(key, {}).values()

    @property
    def any_write(self) -> bool:
        """Whether anything was written to at all."""
        return bool(self._writes or self._earlier)

    def last_write(self, tensor: Tensor, before: int) -> int | None:
        """The last call before call `before` that wrote to the storage of `tensor`; None where none did."""
        if not self._writes:
            return None
        looked_at = self._looked_at(tensor, before - 1) if self._earlier else tensor
        writes = self._writes.get(memory_of(looked_at), [])
        place = bisect.bisect_left(writes, before)
        return writes[place - 1] if place else None


def _copied(tensor: Tensor) -> Any:
    """A copy of the storage of a tensor; of one without a storage of its own, a copy of the tensor."""
    return tensor.untyped_storage().clone() if _has_storage(tensor) else tensor.detach().clone()


def _allocated(tensor: Tensor) -> Any:
    """As much memory as a copy would take, not written to either."""
    return torch.UntypedStorage(tensor.untyped_storage().nbytes(), device=tensor.device)


def _seen_in(copy: Any, tensor: Tensor) -> Tensor:
    """A copied storage, looked at as `tensor` looks at the original."""
    if isinstance(copy, Tensor):
        return copy
    empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    seen = empty.set_(copy, tensor.storage_offset(), tensor.size(), tensor.stride())
    seen = torch._conj(seen) if tensor.is_conj() else seen
    return torch._neg_view(seen) if tensor.is_neg() else seen


def _is_copied(leaf: Tensor) -> bool:
    """Whether a leaf, which an optimizer may step, is copied: as long as that costs little memory."""
    # A part of a larger storage stays where it is: as_strided may reach beyond the part.
    return (
        leaf.layout is torch.strided
        and leaf.nbytes <= MAX_COPIED_BYTES
        and leaf.untyped_storage().nbytes() == leaf.nbytes
    )


def element_bytes(tensor: Tensor) -> int:
    """The size of a tensor's elements; 0 where it has no storage of its own: torch has no `nbytes` of sparse ones."""
    return tensor.nbytes if _has_storage(tensor) else 0


def storage_bytes(tensor: Tensor) -> int:
    """The size of all that shares memory with a tensor."""
    return tensor.untyped_storage().nbytes() if _has_storage(tensor) else 0


def share_memory(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors look at the same storage."""
    return _has_storage(one) and _has_storage(other) and memory_of(one) == memory_of(other)


def is_shared(tensor: Tensor) -> bool:
    """Whether any other tensor may look at the same memory."""
    # The tensor holds its storage, and so does the object that Python is handed here.
    return not _has_storage(tensor) or torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) > 2


def memory_of(tensor: Tensor) -> int:
    """A number that tensors share which look at the same memory, as long as any of them is there."""
    # Sparse and other tensors without a storage of their own are written as whole objects.
    return tensor.untyped_storage()._cdata if _has_storage(tensor) else id(tensor)


def _has_storage(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested and not tensor.is_quantized
