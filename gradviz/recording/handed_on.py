"""What cheap nodes hand on in the backward pass: computed again when it is read, from what they were handed and saved.

Likewise the sum of what several nodes hand on to one: its cotangent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.recording.again import AGAIN_BYTES, MAX_DEPTH, Repeated, Summed, depth_of, versions_of
from gradviz.recording.derivatives import DERIVATIVES
from gradviz.recording.hooks import NodeHooks
from gradviz.recording.nodes import Slot, Slots, Tensors
from gradviz.recording.versions import element_bytes
from gradviz.standin import StandIn


class HandedOnAgain:
    """Puts what computes it again in the place of what cheap nodes hand on, and of sums.

    Args:
        slots: of each node, who gets its contributions.
        variables: the nodes that gather the gradients of leaves: these are there anyway.
        hooks: the hooks of the user's on nodes, which may change contributions.
        is_sum: whether the cotangent of an output is the sum of the contributions to it and nothing else.
        may_be_written: whether a contribution may be written to when it arrives at an output, unseen by its version.
    """

    def __init__(
        self,
        slots: Mapping[Node, Slots],
        variables: Collection[Node],
        hooks: Mapping[Node, NodeHooks],
        is_sum: Callable[[Slot], bool],
        may_be_written: Callable[[Slot], bool],
    ) -> None:
        self._slots = slots
        self._variables = variables
        self._hooks = hooks
        self._is_sum = is_sum
        self._may_be_written = may_be_written
        self._uses = Counter(chain.from_iterable(slots.values()))
        self._under_way: dict[Slot, _UnderWay] = {}
        self._parts: dict[Slot, list[Tensor]] = {}

    def replaced(self, node: Node, contributions: Tensors, cotangents: Tensors) -> tuple[Tensors, Tensors]:
        """What is kept of what a node hands on, and of what it was handed; to be called for each in the engine's order."""
        handed = tuple([self._handed((node, output), one) for output, one in enumerate(cotangents)])
        known = {id(one): kept for one, kept in zip(cotangents, handed, strict=True) if isinstance(kept, StandIn)}
        handed_on = list(contributions)
        for place, (slot, made) in enumerate(zip(self._slots[node], contributions, strict=False)):
            is_of_leaf = slot[0] in self._variables
            if made is None or (is_of_leaf and self._uses[slot] == 1):
                continue
            standin = known.get(id(made))
            if standin is None:
                standin = self._computed(node, place, made, handed[0])
            if standin is not None:
                handed_on[place] = standin
            if self._uses[slot] > 1:
                if not is_of_leaf and self._is_sum(slot):
                    self._parts.setdefault(slot, []).append(made if standin is None else standin)
            elif standin is not None and not self._may_be_written(slot):
                self._under_way[slot] = _UnderWay(made, made._version, standin)
        return tuple(handed_on), handed

    def _handed(self, slot: Slot, cotangent: Tensor | None) -> Tensor | None:
        """What is kept of a cotangent."""
        if cotangent is None:
            return None
        if (sent := self._under_way.pop(slot, None)) is not None:
            return sent.standin if sent.tensor is cotangent and sent.tensor._version == sent.version else cotangent
        parts = self._parts.pop(slot, [])
        standin = _sum_of(parts, cotangent) if len(parts) > 1 else None
        return cotangent if standin is None else standin

    def _computed(self, node: Node, place: int, contribution: Tensor, cotangent: Tensor | None) -> StandIn | None:
        """What stands for a contribution; None where it is kept: it is small, a gradient, or costs more than one pass."""
        derivative = DERIVATIVES.get(type(node).__name__, {}).get(place)
        if derivative is None or cotangent is None or self._hooks.get(node, NodeHooks()).after:
            return None
        if not _is_large(contribution, derivative.least_bytes) or contribution.dtype != cotangent.dtype:
            return None
        if contribution.shape != cotangent.shape and derivative.is_pointwise:  # what was broadcast is summed away
            return None
        if (saved := derivative.read(node)) is None or (args := derivative.arguments(node, cotangent, *saved)) is None:
            return None
        if (depth := depth_of([cotangent])) > MAX_DEPTH:
            return None
        versions = versions_of([cotangent, *saved])
        return StandIn(contribution, again=Repeated(args, derivative.kwargs(node), derivative.op, 0, depth, versions))


class _UnderWay(NamedTuple):
    """A contribution that has not yet arrived, its version, and what stands for it."""

    tensor: Tensor
    version: int
    standin: StandIn


def _sum_of(parts: list[Tensor], cotangent: Tensor) -> StandIn | None:
    """What stands for a cotangent that is the sum of contributions; None where it is kept."""
    if not _is_large(cotangent, AGAIN_BYTES) or not all(_is_alike(part, cotangent) for part in parts):
        return None
    depth = depth_of(parts)
    return StandIn(cotangent, again=Summed(tuple(parts), depth, versions_of(parts))) if depth <= MAX_DEPTH else None


def _is_large(tensor: Tensor, least_bytes: int) -> bool:
    return type(tensor) is Tensor and element_bytes(tensor) >= least_bytes


def _is_alike(part: Tensor, total: Tensor) -> bool:
    """Whether the engine adds a contribution as it is: else a node answered before broadcasting, or in another dtype."""
    if type(part) not in (Tensor, StandIn) or part.layout != total.layout:
        return False
    return part.shape == total.shape and part.dtype == total.dtype
