"""Which cotangents one backward pass sent to the nodes of a draft, by the places of their outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gradviz.assemble.drafted import Draft, Key, is_autograd_node
from gradviz.recording.backward import Backward
from gradviz.recording.nodes import Tensors


class Cotangents:
    """What came back to drafted nodes.

    Outputs are counted in two ways: by their places, as the call returned them, and as autograd counts those that it
    differentiates; `places` leads from the second to the first.
    """

    def __init__(self, draft: Draft, backward: Backward) -> None:
        self._draft = draft
        self._backward = backward
        self._sent: Mapping[Any, Tensors] = backward.cotangents
        self._inner = {id(leaf): gradient for leaf, gradient in backward.inner}

    def is_from_within(self, key: Key) -> bool:
        """Whether a backward pass within that of the graph gave a leaf its gradient, or a part of it."""
        node = self._draft.nodes[key]
        return node.kind == "leaf" and id(node.tensors[0]) in self._inner

    def at(self, key: Key, place: int) -> Tensor | None:
        """The cotangent that reached one output of a node; of a leaf its gradient."""
        node = self._draft.nodes[key]
        if node.kind == "leaf":
            gradient = self._backward.gradients.get(key) if is_autograd_node(key) else None
            inner = self._inner.get(id(node.tensors[0]))
            return inner if gradient is None else gradient if inner is None else gradient + inner
        known = self._sent.get(key)
        if known is None:
            return None
        if (places := node.differentiable) == (place,):
            return known[0]
        output = places.index(place) if place in places else len(known)
        return known[output] if output < len(known) else None

    def places(self, key: Key) -> tuple[int, ...]:
        """The places that autograd counts as outputs; -1 for one that a custom Function marked as not differentiable."""
        node = self._draft.nodes[key]
        if key not in self._draft.applied or len(node.differentiable) < 2:
            return node.differentiable
        tensors = ((place, node.tensors[place]) for place in node.differentiable)
        return tuple(
            -1 if tensor is not None and not tensor.requires_grad and self.at(key, place) is None else place
            for place, tensor in tensors
        )

    def handed(self, key: Key) -> Sequence[Tensor | None]:
        """What the engine handed to a node; for an output that is marked as not differentiable, zeros of its shape."""
        handed = self._sent.get(key, ())
        if key not in self._draft.applied or -1 not in (places := self.places(key)):
            return handed
        values = self._draft.nodes[key].values
        return tuple(
            torch.zeros((), dtype=value.dtype, device=value.device).expand(value.shape)
            if place < 0 and value is not None
            else one
            for one, place, value in zip(handed, places, values, strict=False)
        )
