"""A tensor -> what is kept of it where the tensor itself is not: extremes, mean, spread, counts, a histogram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradviz.pieces import Piece, Pieces, library_of, tensor_of

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
    with torch.no_grad(), np.errstate(all="ignore"):
        pieces = Pieces(tensor.detach())
        times = tensor.numel() // max(1, pieces.count)
        parts = [_sums_of(piece) for piece in pieces]
        whole = _added(parts)
        mean, std = _mean_and_spread(pieces, whole, parts)
        return Statistics(
            count=tensor.numel(),
            zeros=times * (whole.finite - whole.nonzero),
            nans=times * whole.nans,
            infs=times * whole.infs,
            low=whole.low if whole.finite else math.nan,
            high=whole.high if whole.finite else math.nan,
            mean=mean,
            std=std,
            histogram=tuple([times * count for count in _histogram(pieces, bins, whole, parts)]),
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
    """What is found in one pass; all but the last two are of the finite numbers."""

    low: float = math.inf
    high: float = -math.inf
    finite: int = 0
    nonzero: int = 0
    total: float = 0.0
    squares: float = 0.0
    nans: int = 0
    infs: int = 0


def _sums_of(piece: Piece) -> _Sums:
    finite, nans, infs = len(piece), 0, 0
    low, high = float(piece.min()), float(piece.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        nans = _unequal(piece, piece)
        infs = _unequal(piece - piece, 0) - nans
        finite -= nans + infs
        if not finite:
            return _Sums(nans=nans, infs=infs)
        low, high = float(_filled(piece, math.inf).min()), float(_filled(piece, -math.inf).max())
        piece = _filled(piece, 0)
    if low == high:  # mostly zeros: gradients have wide stretches of them
        return _Sums(low, high, finite, finite if low else 0, finite * low, finite * low * low, nans, infs)
    nonzero = _unequal(piece, 0) if low <= 0 <= high else finite
    tensor = tensor_of(piece)
    return _Sums(low, high, finite, nonzero, float(tensor.sum()), float(tensor.dot(tensor)), nans, infs)


def _added(parts: Sequence[_Sums]) -> _Sums:
    if len(parts) == 1:
        return parts[0]
    lows, highs, *amounts = zip(_Sums(), *parts, strict=True)
    return _Sums(min(lows), max(highs), *map(sum, amounts))


def _mean_and_spread(pieces: Iterable[Piece], whole: _Sums, parts: Iterable[_Sums]) -> tuple[float, float]:
    """The mean and the standard deviation, by the sums where these are accurate, else by one pass more."""
    if not whole.low < whole.high:
        return (whole.low, 0.0) if whole.finite else (math.nan, math.nan)
    mean = whole.total / whole.finite
    variance = whole.squares / whole.finite - mean * mean
    if max(mean * mean / 16, 1e-30) < variance < math.inf:
        return mean, math.sqrt(variance)
    unit = _largest(whole)  # what is left: mean square and squared mean nearly cancel, or are out of range
    middle = (whole.low / unit + whole.high / unit) / 2
    total = squares = 0.0
    for piece, part in zip(pieces, parts, strict=True):
        library = library_of(piece)
        apart = _finite(library.asarray(piece, dtype=library.float64) / unit - middle, part)
        total += float(apart.sum())
        squares += float((apart * apart).sum())
    mean = total / whole.finite
    return unit * (middle + mean), unit * math.sqrt(max(0.0, squares / whole.finite - mean * mean))


def _histogram(pieces: Iterable[Piece], bins: int, whole: _Sums, parts: Iterable[_Sums]) -> list[int]:
    """The same on every device: torch.histc takes four times as long, and on an accelerator may be refused.

    Counting takes longest, longer still where the same bin is met again and again: two numbers are counted as one, the pair
    of their bins, and a piece that lies in one bin is not read.
    """
    if not bins or not whole.low < whole.high:
        return []
    unit = _largest(whole)
    if 1e-25 < unit < 1e25:
        unit = 1.0  # a float32 holds all that is computed
    low, width = whole.low / unit, (whole.high / unit - whole.low / unit) / bins
    kinds = bins + 1  # the last is the highest number's, and goes to the one before in the end
    counts, pairs = np.zeros(kinds, dtype=np.int64), np.zeros(kinds * kinds, dtype=np.int64)
    for piece, part in zip(pieces, parts, strict=True):
        if not part.finite:
            continue
        library = library_of(piece)
        if part.high - part.low < width * unit:
            first, last = _scaled(library.asarray([part.low, part.high], dtype=piece.dtype), unit, low, width)
            if int(first) == int(last):
                counts[int(first)] += part.finite
                continue
        kind = library.int16 if kinds < 180 else library.int32  # holds a pair
        places = library.asarray(_finite(_scaled(piece, unit, low, width), part), dtype=kind)
        half = len(places) // 2
        seconds = places[half:]
        seconds[:half] += kinds * places[:half]
        pairs += torch.bincount(tensor_of(seconds), minlength=kinds * kinds).cpu().numpy()
        counts[0] -= len(seconds) - half + part.nans + part.infs  # those counted although there are none
    table = pairs.reshape(kinds, kinds)
    counts += table.sum(0) + table.sum(1)
    counts[-2] += counts[-1]
    return list(counts[:-1].tolist())


def _scaled(piece: Piece, unit: float, low: float, width: float) -> Piece:
    """How many bins above the lowest each number is."""
    library = library_of(piece)
    scaled = piece - low if unit == 1 else library.asarray(piece, dtype=library.float64) / unit - low
    scaled *= 1 / width
    return scaled


def _unequal(piece: Piece, other: Piece | float) -> int:
    """How often two differ."""
    return int(library_of(piece).count_nonzero(piece != other))


def _filled(piece: Piece, number: float) -> Piece:
    """With a number in the place of all that is not finite."""
    library = library_of(piece)
    return library.where(library.isfinite(piece), piece, number)


def _finite(piece: Piece, part: _Sums) -> Piece:
    """What was computed of a piece, with 0 where that is not finite."""
    return _filled(piece, 0) if part.nans or part.infs else piece


def _largest(whole: _Sums) -> float:
    return max(abs(whole.low), abs(whole.high))
