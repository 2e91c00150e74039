"""Parameters over a training run: whether they moved at all, and how far one update moves them.

What is remembered is one number per parameter for the whole run, and up to `SAMPLE` elements of each during an update.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from gradviz.runs.plain import plain, reading
from gradviz.statistics import norm_of

SAMPLE = 1024
FEW = 64
"""How many elements of a parameter show that it was updated through `.data`, which counts up no version."""
_WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Unmoved:
    """The parameters that still have the value that they had in the beginning."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        digests = {id(one): (one, digest(one)) for one in parameters if one.requires_grad}
        self._digests = {key: known for key, known in digests.items() if known[1] is not None}

    def look(self) -> set[int]:
        """The ids of those that have not moved so far, as far as they can be read. What has moved is never read again."""
        self._digests = {key: known for key, known in self._digests.items() if digest(known[0]) == known[1]}
        return set(self._digests)


class Changes:
    """Whether parameters have changed in place since they were looked at last; where versions tell, no numbers are read."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._parameters = [one for one in parameters if one.requires_grad]
        self._versions: int | None = None
        self._seen: list[Tensor | None] | None = None

    def look(self) -> bool:
        """False the first time."""
        versions = sum(parameter._version for parameter in self._parameters)
        is_told = self._versions is not None and versions != self._versions
        before = self._seen
        self._versions = versions
        self._seen = None if is_told else [sample(parameter, FEW) for parameter in self._parameters]
        if is_told or before is None or self._seen is None:
            return is_told
        return any(one is not None and not _is_same(one, now) for one, now in zip(before, self._seen, strict=True))


def _is_same(before: Tensor, after: Tensor | None) -> bool:
    """Whether two samples hold the same numbers, of which NaN is one."""
    if after is None or (before.shape, before.dtype, before.device) != (after.shape, after.dtype, after.device):
        return False
    with reading():
        return bool(((before == after) | (before.isnan() & after.isnan())).all())


def digest(tensor: Tensor) -> int | None:
    """The sum of the bit patterns, which changes where one element does, and hardly ever stays where many do.

    None where they cannot be read. Words of 8 bytes are summed twenty times as fast as elements that have to be made longer
    first.

    >>> digest(torch.tensor([1.0, 2.0])) == digest(torch.tensor([1.0, 2.0])), digest(torch.zeros(3))
    (True, 0)
    """
    with reading():
        numbers = plain(tensor)
        if numbers is None:
            return None
        flat = (torch.view_as_real(numbers) if numbers.is_complex() else numbers).flatten()
        per_word = 8 // flat.element_size()
        words = flat.numel() // per_word
        if flat.stride(0) != 1 or flat.storage_offset() % per_word:  # a word does not begin within one, and has no gaps
            flat = flat.clone(memory_format=torch.contiguous_format)
        bits = flat.view(_WHOLE[flat.element_size()])
        head, tail = bits[: words * per_word], bits[words * per_word :]
        return int(head.view(torch.int64).sum()) + int(tail.sum(dtype=torch.int64))


def sample(tensor: Tensor, most: int = SAMPLE) -> Tensor | None:
    """A copy of up to so many elements, spread evenly."""
    with reading():
        numbers = plain(tensor)
        if numbers is None or not numbers.numel():
            return None
        flat = numbers.flatten()
        return flat[:: -(-flat.numel() // most)].clone()


class Spoilt:
    """The parameters that hold NaN, or infinity, where they held none in the beginning: a mask may be made of −∞."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._norms = [(one, _norm(one)) for one in parameters]

    def look(self) -> list[Tensor]:
        """Those that do now, as far as they can be read."""
        return [one for one, before in self._norms if is_spoilt(before, _norm(one))]


def is_spoilt(before: float, after: float) -> bool:
    """Whether the norms of a tensor tell of NaN, or of infinity, that was not in it before; neither gets lost in a sum.

    >>> is_spoilt(1.0, math.inf), is_spoilt(math.inf, math.inf), is_spoilt(math.inf, math.nan)
    (True, False, True)
    """
    return (math.isnan(after) and not math.isnan(before)) or (math.isinf(after) and math.isfinite(before))


def _norm(tensor: Tensor) -> float:
    with reading():
        numbers = plain(tensor)
        return 0.0 if numbers is None else norm_of(numbers)


def moved_by(before: Tensor, after: Tensor) -> float | None:
    """How far a sample moved, beside its own norm; None where it was 0.

    >>> moved_by(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5]))
    0.1
    """
    with reading():
        size = norm_of(before)
        return norm_of(after.double() - before.double()) / size if size else None


def share_unchanged(before: Tensor, after: Tensor, gradient: Tensor) -> float | None:
    """Of the elements that have a gradient, the share that is as it was; None where none has.

    >>> share_unchanged(torch.ones(4), torch.tensor([1.0, 1.0, 2.0, 1.0]), torch.tensor([1.0, 1.0, 1.0, 0.0])) == 2 / 3
    True
    """
    with reading():
        asked = gradient != 0
        count = int(asked.sum())
        return int(((before == after) & asked).sum()) / count if count and asked.shape == before.shape else None


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    """What an optimizer holds, group by group."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
