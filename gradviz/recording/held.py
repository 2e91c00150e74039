"""What a tensor held at one time, to notice later writes to it: torch's count of them, and some of its elements.

torch counts what is written in place, but not through `.data`, nor by numpy or a kernel of one's own; an update writes to
most elements, and shows in a few of them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor

ELEMENTS = 1024
"""About so many are kept, at equal distances along each dimension; of smaller tensors all."""


class State(NamedTuple):
    """How often a tensor had been written to, as far as torch counts that, and elements of it (None where it has none)."""

    version: int
    elements: Tensor | None

    def is_counted_in(self, tensor: Tensor) -> bool:
        """Whether torch counted a write to the tensor since."""
        return _version(tensor) != self.version

    def is_lost_in(self, tensor: Tensor) -> bool:
        """Whether the tensor was written to since, counted or not.

        >>> weight = torch.zeros(3)
        >>> before = state_of(weight)
        >>> weight.data += 1
        >>> before.is_counted_in(weight), before.is_lost_in(weight)
        (False, True)
        """
        return self.is_counted_in(tensor) or (self.elements is not None and not _same(self.elements, _elements(tensor)))


def state_of(tensor: Tensor) -> State:
    """What the tensor holds now."""
    elements = _elements(tensor)
    return State(_version(tensor), None if elements is None else elements.clone())


def count_of(tensor: Tensor) -> State:
    """How often the tensor had been written to until now, without its elements."""
    return State(_version(tensor), None)


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def _elements(tensor: Tensor) -> Tensor | None:
    """Some elements, a view where they can be compared as they are; None of what has no memory of its own to look at."""
    is_plain = type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout is torch.strided and not tensor.is_nested
    if not is_plain or tensor.device.type == "meta" or tensor.is_quantized or _is_let_go(tensor):
        return None
    found = tensor.detach()
    if found.numel() > ELEMENTS:
        along = math.ceil(ELEMENTS ** (1 / sum(size > 1 for size in found.shape)))
        found = found[tuple([slice(None, None, _step(size // along)) for size in found.shape])]
    return found.to(torch.complex64) if found.dtype is torch.complex32 else found  # which torch cannot compare


def _is_let_go(tensor: Tensor) -> bool:
    """Whether its memory was taken from it, as `tensor.untyped_storage().resize_(0)` does: to read it would crash."""
    return tensor.numel() > 0 and tensor.untyped_storage().nbytes() == 0


@lru_cache(maxsize=4096)
def _step(least: int) -> int:
    """The next prime, so that a write to every other row, or every fourth, is met."""
    return next(step for step in count(max(1, least)) if all(step % factor for factor in range(2, math.isqrt(step) + 1)))


def _same(before: Tensor, now: Tensor | None) -> bool:
    """Bit for bit but for zeros' signs; NaN equals NaN."""
    if now is None or now.shape != before.shape or now.dtype != before.dtype or now.device != before.device:
        return False
    return torch.equal(before, now) or bool(((before == now) | (before.isnan() & now.isnan())).all())
