"""What `backward()` is called on, told to who listens: the only place at which a loss that is no module's passes by.

torch has no hook for it, so its function is replaced, and put back with the last listener.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

Root = Tensor | GradientEdge
Listener = Callable[[tuple[Root, ...], FrameType], None]
"""Takes what `backward()` is called on, and the frame that calls it."""
Follower = Callable[[], None]
"""Is called when that pass is over."""
_LISTENERS: list[tuple[Listener, Follower]] = []
_replaced: list[Callable[..., None]] = []
"""What stood in the place of `_backward`, while that is there: torch's own function, or another library's."""


def listen(listener: Listener, follower: Follower) -> None:
    """Tells a listener what each `backward()` is called on, and a follower that it is over; those within another aside."""
    _LISTENERS.append((listener, follower))
    if not _replaced:
        _replaced.append(torch.autograd.backward)
        torch.autograd.backward = _backward


def stop_listening(listener: Listener) -> None:
    """Does nothing the second time. What another library has put over `_backward` meanwhile stays, with that below it."""
    _LISTENERS[:] = [both for both in _LISTENERS if both[0] != listener]
    if not _LISTENERS and _replaced and torch.autograd.backward is _backward:
        torch.autograd.backward = _replaced.pop()


def _backward(tensors: Any, *arguments: Any, **options: Any) -> None:
    told = tuple(_LISTENERS) if torch._C._current_graph_task_id() == -1 else ()
    if told:
        roots = (tensors,) if isinstance(tensors, Root) else tuple(tensors)
        for listener, _ in told:
            listener(roots, sys._getframe(1))
    _replaced[0](tensors, *arguments, **options)
    for _, follower in told:
        follower()
