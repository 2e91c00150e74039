"""Buffers of modules that hold the graph of an earlier step where a module is called: a state that nobody detached."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.autograd.graph import Node


class KeptGraphs:
    """The autograd nodes of such buffers, each with what the buffer is called: "state of Memory".

    What the recorded code itself computes and keeps in a buffer, as a loop over the steps of a sequence does, is none.
    """

    def __init__(self) -> None:
        self._before: int | None = None
        self._found: dict[Node, str] = {}

    def begin(self, sequence: int) -> None:
        """From here on nodes count as the recorded code's own: autograd gives them this number or a later one."""
        self._before = sequence if self._before is None else self._before

    def note(self, module: torch.nn.Module) -> None:
        """Looks at the buffers of a module whose call begins."""
        for name, buffer in module._buffers.items():
            if buffer is None or not buffer.requires_grad or buffer.grad_fn is None or self._before is None:
                continue
            if buffer.grad_fn._sequence_nr() < self._before:
                self._found.setdefault(buffer.grad_fn, f"{name} of {type(module).__name__}")

    @property
    def found(self) -> Mapping[Node, str]:
        """Node -> the buffer that held its result when the module was called."""
        return self._found
