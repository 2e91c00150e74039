"""What the hooks of a backward pass hear -> its log, in full or, over the budget, with stand-ins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.recording.again import AGAIN_BYTES
from gradviz.recording.handed_on import HandedOnAgain
from gradviz.recording.keeping import Elements, Keeper, elements_of, is_elsewhere, is_plain, is_small, moved, stand_ins
from gradviz.recording.nodes import Slots, Tensors, output_metadata
from gradviz.standin import StandIn, is_kept


def as_added(contribution: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """A contribution as the engine adds it: a node may answer before broadcasting is summed away, or in another dtype."""
    if contribution.shape != shape:
        contribution = contribution.sum_to_size(tuple(shape))
    return contribution if contribution.dtype == dtype else contribution.to(dtype)


class Log:
    """What each node was handed and handed on, in the engine's order."""

    def __init__(self) -> None:
        self.entries: list[tuple[Node, Tensors, Tensors]] = []

    def finish(self) -> None:
        """To be called after the last node."""

    def hear(self, node: Node, contributions: Tensors, cotangents: Tensors) -> None:
        """What the hook of each node calls."""
        self.entries.append((node, contributions, cotangents))


class _Waiting(NamedTuple):
    """A contribution not yet set aside: the tensor, its version, where it stands, and its stand-in if that is known."""

    tensor: Tensor
    version: int
    place: int
    slot: int
    standin: Tensor | None


class BudgetedLog(Log):
    """Keeps tensors in full as long as there is room, then stand-ins.

    What a leaf gets from its only use is its gradient, which is there after any backward pass: it is always kept.

    Args:
        slots: of each node, who gets its contributions.
        variables: the leaves of the nodes that gather gradients.
        keeper: has kept the forward values, and says how much room is left.
        computed_again: finds what need not be kept as it can be computed again; None where all is small.
    """

    def __init__(
        self,
        slots: Mapping[Node, Slots],
        variables: Mapping[Node, Tensor],
        keeper: Keeper,
        computed_again: HandedOnAgain | None,
    ) -> None:
        super().__init__()
        self._slots = slots
        self._variables = variables
        self._keeper = keeper
        self._keeping = keeper.keeping
        self._room_bytes: float | None = None
        self._seen_bytes = keeper.made_bytes
        self._look_at_bytes = keeper.keeping.budget_bytes
        self._is_over = keeper.is_over or keeper.keeping.offload
        self._moved_bytes = 0
        self._kept_storages: set[int] = set()
        self._waiting: dict[tuple[Node, int], _Waiting] = {}
        self._computed_again = computed_again

    def hear(self, node: Node, contributions: Tensors, cotangents: Tensors) -> None:
        if self._is_over:
            self._append_aside(node, contributions, cotangents)
            return
        is_large = False
        for tensor in contributions:
            if tensor is not None:
                size = tensor.numel() * tensor.itemsize
                self._seen_bytes += size
                if size >= AGAIN_BYTES:
                    is_large = True
        if self._computed_again is not None and (is_large or any(map(_is_large, cotangents))):
            contributions, cotangents = self._computed_again.replaced(node, contributions, cotangents)
        self.entries.append((node, contributions, cotangents))
        if self._seen_bytes > self._look_at_bytes:
            self._look()

    def _look(self) -> None:
        """Counts exactly: each storage once, and no gradients."""
        sizes: dict[int, int] = {}
        for node, contributions, cotangents in self.entries:
            counted = [one for slot, one in enumerate(contributions) if not self._is_gradient(node, slot)]
            for tensor in (*counted, *cotangents):
                if tensor is not None and is_plain(tensor) and not is_small(tensor):
                    sizes[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        left = self._room() - sum(sizes.values())
        self._look_at_bytes = self._seen_bytes + left
        if left < 0:
            self._is_over = True
            node, contributions, cotangents = self.entries.pop()
            self._kept_storages = {
                tensor.untyped_storage()._cdata
                for _, *both in self.entries
                for tensor in (*both[0], *both[1])
                if tensor is not None and is_plain(tensor)
            }
            self._append_aside(node, contributions, cotangents)

    def _room(self) -> float:
        """How many bytes the forward values leave; counted when it is first asked for."""
        if self._room_bytes is None:
            self._room_bytes = self._keeper.look()
        return self._room_bytes

    def _append_aside(self, node: Node, contributions: Tensors, cotangents: Tensors) -> None:
        """A contribution that is to become a whole cotangent waits for that: whether it is also a gradient shows there."""
        if all(one is None or not is_plain(one) or is_small(one) for one in (*contributions, *cotangents)):
            self.entries.append((node, contributions, cotangents))
            return
        gradients = {
            one.untyped_storage()._cdata
            for slot, one in enumerate(contributions)
            if one is not None and self._is_gradient(node, slot) and is_plain(one)
        }
        known: dict[Elements, Tensor] = {}
        arrived = tuple([self._arrived(node, output, one, gradients, known) for output, one in enumerate(cotangents)])
        self.entries.append((node, contributions, arrived))
        place = len(self.entries) - 1
        for slot, contribution in enumerate(contributions):
            tail, output = self._slots[node][slot] if contribution is not None else (None, 0)
            if contribution is None or tail is None or self._is_gradient(node, slot):
                continue
            expected = self._variables[tail] if tail in self._variables else output_metadata(tail)[output]
            with torch.no_grad():
                added = as_added(contribution, tuple(expected.shape), expected.dtype)
            if added is contribution and self._uses[tail, output] == 1:
                standin = self._known(added, known)
                self._waiting[tail, output] = _Waiting(added, added._version, place, slot, standin)
            else:
                self._put(place, slot, self._aside(added, known))

    def _arrived(
        self, node: Node, output: int, cotangent: Tensor | None, gradients: set[int], known: dict[Elements, Tensor]
    ) -> Tensor | None:
        """What is kept of a cotangent, and of the contribution that it is the same as."""
        waiting = self._waiting.pop((node, output), None)
        if waiting is not None and (cotangent is not waiting.tensor or cotangent._version != waiting.version):
            self._put(waiting.place, waiting.slot, self._aside(waiting.tensor, {}))
            waiting = None
        if cotangent is None:
            return None
        is_gradient = is_plain(cotangent) and cotangent.untyped_storage()._cdata in gradients
        if waiting is not None and waiting.standin is not None and not is_gradient:
            kept = known[elements_of(cotangent)] = waiting.standin
        else:
            kept = cotangent if is_gradient else self._aside(cotangent, known)
        if waiting is not None:
            self._put(waiting.place, waiting.slot, kept)
        return kept

    def finish(self) -> None:
        for waiting in self._waiting.values():
            self._put(waiting.place, waiting.slot, self._aside(waiting.tensor, {}))
        self._waiting.clear()

    def _put(self, place: int, slot: int, kept: Tensor) -> None:
        node, contributions, cotangents = self.entries[place]
        self.entries[place] = (node, (*contributions[:slot], kept, *contributions[slot + 1 :]), cotangents)

    def _aside(self, tensor: Tensor, known: dict[Elements, Tensor]) -> Tensor:
        """What is kept of a tensor.

        Args:
            tensor: any.
            known: what was kept of tensors whose storage is still there; it learns of this one.
        """
        if not is_plain(tensor) or tensor.untyped_storage()._cdata in self._kept_storages:
            return tensor
        if is_small(tensor):
            return tensor
        if (standin := self._known(tensor, known)) is not None:
            return standin
        size = tensor.untyped_storage().nbytes()
        fits = self._keeping.offload and self._moved_bytes + size <= self._room()
        if fits:
            self._moved_bytes += size
            if not is_elsewhere(tensor):
                return tensor
        kept = known[elements_of(tensor)] = (moved([tensor]) if fits else stand_ins([tensor], self._keeping))[0]
        return kept

    def _known(self, tensor: Tensor, known: dict[Elements, Tensor]) -> Tensor | None:
        """A stand-in for a tensor with the same elements as a known one, where only their statistics were kept."""
        found = known.get(elements_of(tensor)) if known and is_plain(tensor) else None
        if not isinstance(found, StandIn) or is_kept(found):
            return None
        return StandIn(tensor, reason=found.reason, statistics=found.statistics)

    def _is_gradient(self, node: Node, slot: int) -> bool:
        tail, output = self._slots[node][slot]
        return tail in self._variables and self._uses[tail, output] == 1

    @cached_property
    def _uses(self) -> Counter[tuple[Node | None, int]]:
        """(node, which of its outputs) -> how many nodes use it."""
        return Counter(chain.from_iterable(self._slots.values()))


def _is_large(tensor: Tensor | None) -> bool:
    """Whether a tensor may be worth computing again."""
    return tensor is not None and tensor.numel() * tensor.itemsize >= AGAIN_BYTES
