"""The nodes and edges of a traced graph to be, before they are numbered and named.

Keys: an autograd `Node` for what autograd knows, ("call", index) for a call without gradient, ("written", index, id) for
what such a call made of another tensor by writing to its memory, ("applied", first call) for a custom Function without
gradient, ("tensor", id) for a constant or a leaf that autograd does not reach.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeGuard

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.forwards import Forward
from gradviz.assemble.lookup import Application
from gradviz.opcall import OpCall
from gradviz.recording.bytecode import Frames

Key = Hashable
_new: Callable[..., DraftEdge] = tuple.__new__  # what the class of a named tuple calls in turn, by a function more


@dataclass(slots=True)
class DraftNode:
    """A node to be. `tensors` are live (for names); `values` are snapshots, one per output of the call, `in_order` or, where
    it is not known which outputs there were, as they are read.

    Where most are made, the first ten are given by position: their order counts.
    """

    kind: str
    priority: tuple[int, int, int]
    op: str = ""
    values: tuple[Tensor | None, ...] = (None,)
    tensors: tuple[Tensor | None, ...] = (None,)
    differentiable: tuple[int, ...] = (0,)
    requires_grad: bool = True
    call: OpCall | None = None
    call_index: int | None = None
    frames: Frames = ()
    value_missing: str = ""
    inner_calls: tuple[OpCall, ...] = ()
    inner_inputs: tuple[Tensor | None, ...] = ()
    in_order: bool = True


class DraftEdge(NamedTuple):
    """An edge to be. `slot` is the place among the autograd node's differentiable inputs, None where no gradient flows."""

    tail: Key
    position: int
    argument: str
    output: int
    slot: int | None
    cut: str


def draft_edge(tail: Key, position: int, argument: str, output: int, slot: int | None, cut: str = "") -> DraftEdge:
    """`DraftEdge(...)` in half the time."""
    return _new(DraftEdge, (tail, position, argument, output, slot, cut))


@dataclass(slots=True)
class Draft:
    """Nodes by key, the edges into each; how custom Functions were applied, and which calls lie in a forward of one."""

    nodes: dict[Key, DraftNode] = field(default_factory=dict)
    edges_into: dict[Key, list[DraftEdge]] = field(default_factory=dict)
    in_forwards: dict[int, Forward] = field(default_factory=dict)
    applied: dict[Node, Application] = field(default_factory=dict)


def is_autograd_node(key: Key) -> TypeGuard[Node]:
    """Whether a key is an autograd node; torch's class `Node` does not own all of them (those of `_foreach` functions)."""
    return not isinstance(key, tuple)
