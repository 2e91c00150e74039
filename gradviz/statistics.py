"""A tensor -> what is kept of it where the tensor itself is not: extremes, mean, spread, counts, a histogram."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What is known of the elements of a tensor; of complex ones, of their moduli.

    Attributes:
        count: how many elements there are.
        zeros, nans, infs: how many of them are 0, NaN, and infinite.
        low, high, mean, std: of the finite elements (`std` divides by their number); NaN where there are none.
        histogram: how many finite elements lie in each of several bins of equal width between `low` and `high`; empty where
            none was asked for, or all are equal.
    """

    count: int
    zeros: int
    nans: int
    infs: int
    low: float
    high: float
    mean: float
    std: float
    histogram: tuple[int, ...] = ()

    @property
    def finite(self) -> int:
        """How many elements are finite."""
        return self.count - self.nans - self.infs

    @property
    def zero_share(self) -> float:
        """The share of zeros, 0 where there are no elements."""
        return self.zeros / self.count if self.count else 0.0

    @property
    def norm(self) -> float:
        """The Euclidean norm of the finite elements.

        >>> round(statistics_of(torch.tensor([3.0, -4.0])).norm, 6)
        5.0
        """
        return math.sqrt(self.finite) * math.hypot(self.mean, self.std) if self.finite else 0.0

    def with_more(self, other: Statistics) -> Statistics:
        """Of the elements of both; without a histogram, as the bins differ.

        >>> both = statistics_of(torch.tensor([1.0, 0.0])).with_more(statistics_of(torch.tensor([5.0])))
        >>> both.count, both.zeros, both.low, both.high, round(both.mean, 12)
        (3, 1, 0.0, 5.0, 2.0)
        """
        here, there = (one.finite / max(1, self.finite + other.finite) for one in (self, other))
        if not here or not there:
            known = self if there == 0 else other
            low, high, mean, std = known.low, known.high, known.mean, known.std
        else:
            low, high = min(self.low, other.low), max(self.high, other.high)
            mean = here * self.mean + there * other.mean
            apart = math.sqrt(here * there) * (self.mean - other.mean)
            std = math.hypot(math.sqrt(here) * self.std, math.sqrt(there) * other.std, apart)
        return Statistics(
            count=self.count + other.count,
            zeros=self.zeros + other.zeros,
            nans=self.nans + other.nans,
            infs=self.infs + other.infs,
            low=low,
            high=high,
            mean=mean,
            std=std,
        )


def statistics_of(tensor: Tensor, *, bins: int = 0) -> Statistics | None:
    """The statistics of a tensor; None where its elements cannot be read: of the meta device, sparse, quantized.

    Takes three passes over a tensor of float32 or float64 without a copy, and one transfer from its device.

    Args:
        tensor: any.
        bins: how many bins the histogram has; 0 for none.

    >>> found = statistics_of(torch.tensor([0.0, 1.0, float("nan"), 3.0]), bins=2)
    >>> found.nans, found.zeros, found.low, found.high, found.histogram
    (1, 1, 0.0, 3.0, (2, 1))
    """
    if not is_readable(tensor):
        return None
    with torch.no_grad():
        numbers = _real(tensor.detach())
        nans = infs = 0
        low, high, mean, std = _moments(numbers)
        if numbers.numel() and not (math.isfinite(low) and math.isfinite(high)):
            nans, infs = int(numbers.isnan().sum()), int(numbers.isinf().sum())
            numbers = numbers[numbers.isfinite()]
            low, high, mean, std = _moments(numbers)
        zeros = numbers.numel() - int(numbers.count_nonzero())
        return Statistics(
            count=tensor.numel(),
            zeros=zeros,
            nans=nans,
            infs=infs,
            low=low,
            high=high,
            mean=mean,
            std=std,
            histogram=_histogram(numbers, bins, low, high),
        )


def norm_of(tensor: Tensor) -> float:
    """The Euclidean norm of all elements, in float32 at least; 0 where there are none, or they cannot be read.

    >>> round(norm_of(torch.tensor([3e30, 4e30])) / 1e30, 4), norm_of(torch.empty(0))
    (5.0, 0.0)
    """
    if not tensor.numel() or not is_readable(tensor):
        return 0.0
    with torch.no_grad():
        wide = torch.promote_types(tensor.dtype, torch.float32)
        size = float(torch.linalg.vector_norm(tensor.detach(), dtype=wide))
        if not 0 < size < math.inf:  # squares under- or overflow long before the numbers do
            size = float(torch.linalg.vector_norm(tensor.detach().to(torch.promote_types(wide, torch.float64))))
        return size


def is_readable(tensor: Tensor) -> bool:
    """Whether the numbers are there, lie in memory one by one, and are of a kind that torch can sum."""
    odd = tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested
    return not odd and tensor.device.type != "meta" and tensor.dtype is not torch.complex32


def _moments(numbers: Tensor) -> tuple[float, float, float, float]:
    """Least, greatest, mean and standard deviation."""
    if not numbers.numel():
        return math.nan, math.nan, math.nan, math.nan
    variance, mean = torch.var_mean(numbers, correction=0)
    low, high, middle, spread = torch.stack([one.double() for one in (*torch.aminmax(numbers), mean, variance)]).tolist()
    if low < high and math.isfinite(high - low) and not 0 < spread < math.inf:
        # Squares leave the range long before the numbers do.
        variance, mean = torch.var_mean(numbers.double(), correction=0)
        middle, spread = float(mean), float(variance)
    return low, high, middle, math.sqrt(spread)


def _histogram(numbers: Tensor, bins: int, low: float, high: float) -> tuple[int, ...]:
    if not bins or not low < high:
        return ()
    if numbers.device.type == "cpu":
        return tuple(int(count) for count in torch.histc(numbers, bins, min=low, max=high))
    # torch calls its own way of counting on an accelerator nondeterministic, and refuses it where that is asked for.
    places = ((numbers.double() - low) / (high - low) * bins).int().clamp_(0, bins - 1)
    return tuple(torch.bincount(places.flatten(), minlength=bins).tolist())


def _real(tensor: Tensor) -> Tensor:
    """The numbers, in a dtype wide enough to sum them: moduli of complex ones, float32 at least."""
    if tensor.is_complex():
        return tensor.abs()
    if tensor.is_floating_point():
        return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
    return tensor.double()
