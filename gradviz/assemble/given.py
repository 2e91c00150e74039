"""What the leaves and constants of a graph hold when it is made, which later questions about it rely on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

from torch import Tensor

from gradviz.assemble.drafted import Draft, Key
from gradviz.recording.held import State, count_of, state_of
from gradviz.recording.versions import memory_of
from gradviz.standin import StandIn


class Given:
    """The tensors that the traced code was given, as they are when its graph is made.

    Attributes:
        live: those that it still reads where it runs again, as a checkpoint does: the leaves, and the constants that it did
            not write to itself.
        states: key -> what the graph's value of a leaf or constant holds; of a copy only how often it was written to.
    """

    def __init__(self, draft: Draft, keys: Iterable[Key]) -> None:
        self.live: list[tuple[Tensor, State]] = []
        self.states: dict[Key, State] = {}
        for key in keys:
            node = draft.nodes[key]
            tensor, value = node.tensors[0], node.values[0]
            is_shared = tensor is not None and _is_there(value) and memory_of(tensor) == memory_of(value)
            if tensor is not None and (is_shared or node.kind == "leaf"):
                self.live.append((tensor, state_of(tensor)))
            if _is_there(value):
                self.states[key] = self.live[-1][1] if is_shared else count_of(value)


def _is_there(value: Tensor | None) -> TypeGuard[Tensor]:
    return value is not None and not isinstance(value, StandIn)
