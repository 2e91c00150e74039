"""What activations hand on in the backward pass: computed again when it is read, from what they were handed and saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.recording.again import AGAIN_BYTES, MAX_DEPTH, Repeated, depth_of, is_result, versions_of
from gradviz.recording.nodes import Slot, Slots, Tensors
from gradviz.recording.versions import element_bytes
from gradviz.standin import StandIn

aten = torch.ops.aten


class _Derivative(NamedTuple):
    """What autograd's node of an activation computes: `op` of the cotangent, a saved tensor, and saved options."""

    op: torch._ops.OpOverload
    saved: str
    options: Callable[[Any], dict[str, Any]] = lambda node: {}


# As torch's derivatives.yaml says them.
_DERIVATIVES = {
    "ReluBackward0": _Derivative(aten.threshold_backward.default, "result", lambda node: {"threshold": 0}),
    "HardtanhBackward0": _Derivative(
        aten.hardtanh_backward.default,
        "self",
        lambda node: {"min_val": node._saved_min_val, "max_val": node._saved_max_val},
    ),
    "SiluBackward0": _Derivative(aten.silu_backward.default, "self"),
    "GeluBackward0": _Derivative(
        aten.gelu_backward.default, "self", lambda node: {"approximate": node._saved_approximate}
    ),
}
_HANDING_ON = frozenset({"AddBackward0"})
"""Nodes that hand on the very tensor that they are handed."""


class HandedOnAgain:
    """What the nodes of activations hand on: until it has arrived, a tensor; then what computes it again.

    Args:
        slots: of each node, who gets its contributions.
        variables: the nodes that gather the gradients of leaves: what alone reaches one is its gradient, and there anyway.
        hooked: the nodes whose contributions the user's hooks may change.

    Attributes:
        concerned: the activations, and whom their contributions reach as they are.
    """

    def __init__(self, slots: Mapping[Node, Slots], variables: Collection[Node], hooked: Collection[Node]) -> None:
        self._slots = slots
        active = [node for node in slots if type(node).__name__ in _DERIVATIVES]
        self._uses = Counter(slot for into in slots.values() for slot in into) if active else Counter()
        self._active = {node for node in active if slots[node][0][0] not in variables and node not in hooked}
        self.concerned: set[Node | None] = set()
        pending: list[Node | None] = [*self._active]
        while pending:
            node = pending.pop()
            if node is not None and node not in self.concerned:
                self.concerned.add(node)
                if node in self._active or type(node).__name__ in _HANDING_ON:
                    pending += [tail for tail, output in slots[node] if self._uses[tail, output] == 1]
        self._under_way: dict[Slot, _UnderWay] = {}

    def replaced(self, node: Node, contributions: Tensors, cotangents: Tensors) -> tuple[Tensors, Tensors]:
        """What is kept of what a node hands on, and of what it was handed."""
        arrived = [self._arrived((node, output), one) for output, one in enumerate(cotangents)]
        known = {id(sent.tensor): sent.standin for sent in arrived if sent is not None}
        handed = tuple([one if sent is None else sent.standin for one, sent in zip(cotangents, arrived, strict=True)])
        if node in self._active and (standin := _handed_on(node, contributions[0], handed[0])) is not None:
            known[id(contributions[0])] = standin
        handed_on = list(contributions)
        for place, (slot, made) in enumerate(zip(self._slots[node], contributions, strict=False)):
            if made is not None and (standin := known.get(id(made))) is not None:
                handed_on[place] = standin
                if slot[0] in self.concerned and self._uses[slot] == 1:
                    self._under_way[slot] = _UnderWay(made, made._version, standin)
        return tuple(handed_on), handed

    def _arrived(self, slot: Slot, cotangent: Tensor | None) -> _UnderWay | None:
        sent = self._under_way.pop(slot, None)
        return sent if sent is not None and sent.tensor is cotangent and sent.tensor._version == sent.version else None


class _UnderWay(NamedTuple):
    """A contribution that has not yet arrived, its version, and what stands for it."""

    tensor: Tensor
    version: int
    standin: StandIn


def _handed_on(node: Node, contribution: Tensor | None, cotangent: Tensor | None) -> StandIn | None:
    """What stands for the contribution of an activation; None where it is small, or what the node saved may not last.

    A hook may have packed that, or it is a view of a leaf, which an optimizer steps.

    Args:
        node: of the activation.
        contribution: what it handed on.
        cotangent: what it was handed, as it is kept.
    """
    derivative = _DERIVATIVES[type(node).__name__]
    if type(contribution) is not Tensor or element_bytes(contribution) < AGAIN_BYTES or cotangent is None:
        return None
    if getattr(node, f"_raw_saved_{derivative.saved}").unpack_hook is not None:
        return None
    saved = getattr(node, f"_saved_{derivative.saved}")
    args = (cotangent, saved.detach())
    if not is_result(saved) or (depth := depth_of(args)) > MAX_DEPTH:
        return None
    return StandIn(contribution, again=Repeated(args, derivative.options(node), derivative.op, 0, depth, versions_of(args)))
