"""Keeps what a non-reentrant checkpoint recomputes while nodes inside of it are asked again and again.

Outside of a backward pass torch runs the whole block for each saved tensor that a node reads, and holds on to all that it
made then: questions about one block took as many forward passes of it, and as much memory. Here a block runs once for as
long as only its own nodes are asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils import checkpoint

from gradviz.recording import nodes
from gradviz.recording.held import State
from gradviz.recording.packed import raw_saved_tensors

_WRITTEN_SINCE = "what the checkpoint runs again reads a leaf or a constant that was modified by an inplace operation"
_HOOKS = "_checkpoint_hook.__init__.<locals>."


class Packed(NamedTuple):
    """One saved tensor that a checkpoint did not keep: what stands for it, its block, and the hook that recomputes it."""

    holder: Any
    block: Any
    unpack: Any


class _Recomputed(threading.local):
    """What a thread has recomputed: of the block that was asked last, for a group of questions of its own.

    It dies with the graph whose block it is.
    """

    group: Any = None

    def __init__(self) -> None:
        self.block: Callable[[], Any] = lambda: None
        self.tensors: WeakKeyDictionary[Any, Tensor] = WeakKeyDictionary()  # by what stands for each in the block

    def start(self, block: Any) -> None:
        """Lets go of another block."""
        before = self.block()
        if before is block:
            return
        if before is not None:
            for kept in (before.recomputed, before.is_recomputed, before.recomp_counter):
                kept.pop(self.group, None)
            for reference in before.weak_holders:
                if (holder := reference()) is not None:
                    holder.handles.pop(self.group, None)
        self.group, self.block, self.tensors = checkpoint.GraphExecGroup(), ref(block), WeakKeyDictionary()


_recomputed = _Recomputed()


def packed_by_checkpoint(node: Node) -> tuple[Packed, ...]:
    """The saved tensors of a node inside of a non-reentrant checkpoint; () elsewhere.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = checkpoint.checkpoint(lambda x: x.sin() * 2, x, use_reentrant=False)
    >>> [len(packed_by_checkpoint(node)) for node in (y.grad_fn.next_functions[0][0], x.cos().grad_fn)]
    [1, 0]
    """
    found = []
    for _, raw in raw_saved_tensors(node):
        hook = getattr(raw, "unpack_hook", None)
        if hook is not None and getattr(hook, "__qualname__", "").startswith(_HOOKS):
            held = dict(zip(hook.__code__.co_freevars, hook.__closure__ or (), strict=True))
            found.append(Packed(raw.data, held["frame"].cell_contents, hook))
    return tuple(found)


def contributions(
    node: Node, cotangents: Sequence[Tensor | None], given: Sequence[tuple[Tensor, State]] = ()
) -> tuple[Tensor | None, ...]:
    """What `nodes.contributions` tells, of a node that may lie in a checkpoint.

    Args:
        node, cotangents: as there.
        given: the leaves and constants that the block may read, each with what it held when the graph was made.

    Raises:
        RuntimeError: what it says of any node that cannot be asked; and as of tensors that a node saved itself, one of these
            was written to since, which the block would read as it is now.
    """
    packed = packed_by_checkpoint(node)
    if packed and any(state.is_counted_in(tensor) for tensor, state in given):
        raise RuntimeError(_WRITTEN_SINCE)
    with _recomputed_once(packed, given):
        return nodes.contributions(node, list(cotangents))


@contextmanager
def _recomputed_once(packed: tuple[Packed, ...], given: Sequence[tuple[Tensor, State]]) -> Iterator[None]:
    """Within, the node that saved these tensors may be asked once; its block is not run again for that where it was before.

    torch hands out a recomputed tensor once for each group of backward passes: it is put back before.
    """
    if not packed:
        yield
        return
    before = torch._C._get_graph_exec_group()
    if before is not None and before is not _recomputed.group:
        _require_untouched(given)
        yield  # the user's own group: torch decides what is run again
        return
    _recomputed.start(packed[0].block)
    if not packed[0].block.is_recomputed.get(_recomputed.group):
        _require_untouched(given)
    torch._C._set_graph_exec_group(_recomputed.group)
    try:
        for holder, block, unpack in packed:
            if holder not in _recomputed.tensors:
                _recomputed.tensors[holder] = unpack(holder)
            handle = holder.handles[_recomputed.group] = checkpoint._Handle()
            block.recomputed[_recomputed.group][handle] = _recomputed.tensors[holder]
        yield
    finally:
        torch._C._set_graph_exec_group(before)


def _require_untouched(given: Sequence[tuple[Tensor, State]]) -> None:
    """Before a block runs again: what torch does not count shows in what these hold."""
    if any(state.is_lost_in(tensor) for tensor, state in given):
        raise RuntimeError(_WRITTEN_SINCE)
