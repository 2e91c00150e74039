"""A tensor -> the plain tensor whose numbers may be read here, on this rank, without a word to the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gradviz.statistics import is_readable

_PLAIN = (Tensor, torch.nn.Parameter)


@contextmanager
def reading() -> Iterator[None]:
    """Within it numbers are read unseen: autograd records nothing, and no dispatch mode, the user's or ours, is told."""
    with torch.no_grad(), torch._C._DisableTorchDispatch():
        yield


def plain(tensor: Tensor) -> Tensor | None:
    """The tensor itself, of a DTensor the piece that this rank holds; None where reading it could mean more than reading.

    Other subclasses may communicate or wait when they are read: a collective that is still under way, for instance.
    """
    local: Any = getattr(tensor, "_local_tensor", tensor)
    return local.detach() if type(local) in _PLAIN and is_readable(local) else None


def shard_of(tensor: Tensor) -> tuple[int, ...]:
    """Which piece of a DTensor this rank holds: its place along each dimension of the mesh that splits it; () for all."""
    placements, mesh = getattr(tensor, "placements", ()), getattr(tensor, "device_mesh", None)
    place = None if mesh is None else mesh.get_coordinate()
    if place is None:
        return ()
    return tuple(int(place[dimension]) for dimension, placement in enumerate(placements) if placement.is_shard())
