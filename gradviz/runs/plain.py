"""What a watcher reads of tensors: only numbers that may be read here, on this rank, without a word to the others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from gradviz.statistics import is_readable

OddNumber = Literal["NaN", "infinity"]
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


def odd_numbers(values: Iterable[Any]) -> set[OddNumber]:
    """Whether there is a NaN or an infinity among numbers and tensors of them."""
    found: set[OddNumber] = set()
    for value in values:
        if isinstance(value, float):
            found |= {"NaN"} if math.isnan(value) else {"infinity"} if math.isinf(value) else set()
            continue
        numbers = plain(value) if isinstance(value, Tensor) and value.is_floating_point() else None
        # Numbers whose sum is finite are all finite; of others a second look tells.
        if numbers is not None and not math.isfinite(float(numbers.sum())):
            found |= {"NaN"} if bool(numbers.isnan().any()) else set()
            found |= {"infinity"} if bool(numbers.isinf().any()) else set()
    return found


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in what a module returned: in tuples, lists, dicts, and the attributes of other objects of one level."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))
    elif hasattr(value, "__dict__"):
        yield from (item for item in vars(value).values() if isinstance(item, Tensor))
