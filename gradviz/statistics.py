"""A tensor -> what is kept of it where the tensor itself is not: extremes, mean, spread, counts, a histogram."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BINS = 24
_PIECE_ON_CPU, _PIECE_ELSEWHERE = 2**16, 2**24  # elements read at a time: what a core's cache holds, what fills a device


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

    Reads the tensor's memory once, and once more for a histogram, piece by piece, so that nothing of its size is made.
    Counts and extremes are exact, mean and spread of float32 numbers good to five digits.

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
        numbers = _each_once(tensor.detach())
        times = tensor.numel() // max(1, numbers.numel())
        nans = infs = 0
        sums = _sums(numbers)
        if not (math.isfinite(sums.low) and math.isfinite(sums.high)):
            numbers = _real(numbers)
            nans, infs = int(numbers.isnan().sum()), int(numbers.isinf().sum())
            numbers = numbers[numbers.isfinite()]
            sums = _sums(numbers)
        mean, std = _mean_and_spread(numbers, sums)
        return Statistics(
            count=tensor.numel(),
            zeros=times * (numbers.numel() - sums.nonzero),
            nans=times * nans,
            infs=times * infs,
            low=sums.low,
            high=sums.high,
            mean=mean,
            std=std,
            histogram=tuple([times * found for found in _histogram(numbers, bins, sums.low, sums.high)]),
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


class _Sums(NamedTuple):
    """What is found in one pass; where there is a NaN, or nothing at all, `low` and `high` are NaN."""

    low: float = math.nan
    high: float = math.nan
    nonzero: int = 0
    total: float = 0.0
    squares: float = 0.0


def _sums(numbers: Tensor) -> _Sums:
    found = []
    for piece in _pieces(numbers):
        found.append([float(one) for one in (*torch.aminmax(piece), piece.count_nonzero(), piece.sum(), piece.dot(piece))])
    lows, highs, nonzero, total, squares = zip(*found, strict=True) if found else [()] * 5
    if not found or any(map(math.isnan, lows)):
        return _Sums()
    return _Sums(min(lows), max(highs), int(sum(nonzero)), sum(total), sum(squares))


def _mean_and_spread(numbers: Tensor, sums: _Sums) -> tuple[float, float]:
    """The mean and the standard deviation, by the sums where these are accurate, else by two passes more."""
    if not sums.low < sums.high:
        return sums.low, 0.0 * sums.low
    count = numbers.numel()
    mean = sums.total / count
    variance = sums.squares / count - mean * mean
    if max(mean * mean / 16, 1e-30) < variance < math.inf:
        return mean, math.sqrt(variance)
    unit = _largest(sums.low, sums.high)  # what is left: mean square and squared mean nearly cancel, or are out of range
    mean = sum(float((piece.double() / unit).sum()) for piece in _pieces(numbers)) / count
    variance = sum(float((piece.double() / unit - mean).square().sum()) for piece in _pieces(numbers)) / count
    return unit * mean, unit * math.sqrt(variance)


def _histogram(numbers: Tensor, bins: int, low: float, high: float) -> tuple[int, ...]:
    """The same on every device: torch.histc takes four times as long, and on an accelerator may be refused."""
    if not bins or not low < high:
        return ()
    unit = _largest(low, high)
    if 1e-25 < unit < 1e25:
        unit = 1.0  # a float32 holds all that is computed
    low, width = low / unit, (high / unit - low / unit) / bins
    counts = torch.zeros(bins, dtype=torch.int64, device=numbers.device)
    for piece in _pieces(numbers):
        scaled = piece if unit == 1 else piece.double() / unit
        places = (scaled - low).mul_(1 / width).int().clamp_(max=bins - 1)
        counts += torch.bincount(places.byte() if bins < 256 else places, minlength=bins)  # bytes are counted fastest
    return tuple(counts.tolist())


def _largest(low: float, high: float) -> float:
    return max(abs(low), abs(high))


def _each_once(tensor: Tensor) -> Tensor:
    """The elements in the order in which memory has them; of an expanded tensor, those that it repeats once."""
    if tensor.is_contiguous():
        return tensor
    for axis in reversed(range(tensor.ndim)):
        if tensor.stride(axis) == 0 and tensor.shape[axis]:
            tensor = tensor.select(axis, 0)
    return tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True))


def _pieces(numbers: Tensor) -> Iterator[Tensor]:
    """Real numbers in flat pieces."""
    most = _PIECE_ON_CPU if numbers.device.type == "cpu" else _PIECE_ELSEWHERE
    count = numbers.numel()
    if 0 < count <= most:
        yield _real(numbers.reshape(-1))
    elif count:
        rows = numbers.reshape(-1) if numbers.is_contiguous() else numbers
        in_row = count // len(rows)
        for some in rows.split(max(1, most // in_row)):
            yield from _pieces(some[0] if in_row > most else some)


def _real(tensor: Tensor) -> Tensor:
    """The numbers, in a dtype wide enough to compute with them: moduli of complex ones, float32 at least."""
    if tensor.is_complex():
        return tensor.abs()
    if tensor.is_floating_point():
        return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
    return tensor.double()
