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
_LISTENERS: list[Listener] = []
_torchs_backward = torch.autograd.backward


def listen(listener: Listener) -> None:
    """Tells a listener what each `backward()` is called on, before it begins; those within a backward pass aside."""
    _LISTENERS.append(listener)
    torch.autograd.backward = _backward


def stop_listening(listener: Listener) -> None:
    """Does nothing the second time."""
    if listener in _LISTENERS:
        _LISTENERS.remove(listener)
    if not _LISTENERS:
        torch.autograd.backward = _torchs_backward


def _backward(tensors: Any, *arguments: Any, **options: Any) -> None:
    if torch._C._current_graph_task_id() == -1:
        roots = (tensors,) if isinstance(tensors, Root) else tuple(tensors)
        for listener in tuple(_LISTENERS):
            listener(roots, sys._getframe(1))
    _torchs_backward(tensors, *arguments, **options)
