"""A tensor -> how its elements are spread: counts in bins of equal width."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gradviz.view.summary import as_reals, is_opaque, kept_statistics

BINS = 24
FEWEST = 17
"""Fewer elements are better read one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many elements lie where.

    Attributes:
        counts: of each bin, from the least element to the greatest; the last bin has both its ends.
        low, high: the least and the greatest finite element.
    """

    counts: tuple[int, ...]
    low: float
    high: float


def histogram(value: Tensor, bins: int = BINS) -> Histogram | None:
    """The finite elements in bins; of complex numbers their moduli. None for few elements, and where all are equal.

    >>> histogram(torch.arange(48.0), bins=4)
    Histogram(counts=(12, 12, 12, 12), low=0.0, high=47.0)
    >>> histogram(torch.arange(4.0)) is None, histogram(torch.ones(48)) is None
    (True, True)
    """
    if (known := kept_statistics(value)) is not None:
        return Histogram(counts=known.histogram, low=known.low, high=known.high) if known.histogram else None
    if is_opaque(value) or value.numel() < FEWEST:
        return None
    numbers = as_reals(value).flatten()
    numbers = numbers[torch.isfinite(numbers)].cpu()
    if not numbers.numel():
        return None
    low, high = (extreme.item() for extreme in torch.aminmax(numbers))
    if low == high:
        return None
    counts = torch.histogram(numbers, bins, range=(low, high)).hist
    return Histogram(counts=tuple(int(count) for count in counts), low=low, high=high)
