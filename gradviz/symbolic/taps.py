"""Images of another size: along each dim an element is a weighted mean of neighbours, with products of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradviz.symbolic import many as at_once
from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arithmetic import EXACT, MP, to_wide
from gradviz.symbolic.many import Many
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Taps:
    """What one dim of the output is made of: element o of the weighted elements from `first[o]` on.

    Attributes:
        first: a place in the input per output element.
        count: how many from there on.
        weights: a row per output element; 0 beyond its count.
        errors: how far torch's weights may be off, in units of u.
    """

    first: NDArray[np.int64]
    count: NDArray[np.int64]
    weights: NDArray[Any]
    errors: NDArray[np.float64]


def step_between(size: int, out: int, align_corners: bool, factor: float | None) -> Any:
    """From one element of an output of `out` elements to the next, in steps of an input of `size`.

    Args:
        size, out: of the input and the output.
        align_corners: whether the first and the last elements of both lie at the same places.
        factor: by which the input was to be enlarged, if that was given; of sizes it is the ratio.
    """
    if align_corners:
        return MP.mpf(size - 1) / (out - 1) if out > 1 else MP.zero
    return 1 / EXACT.number(factor) if factor else MP.mpf(size) / out


def taps_of(rows: Sequence[tuple[int, Sequence[Any], Sequence[float]]]) -> Taps:
    """From (first place, weights, errors) of each output element."""
    width = max((len(weights) for _, weights, _ in rows), default=0)
    return Taps(
        first=np.array([first for first, _, _ in rows], dtype=np.int64),
        count=np.array([len(weights) for _, weights, _ in rows], dtype=np.int64),
        weights=np.array([[*weights, *[MP.zero] * (width - len(weights))] for _, weights, _ in rows], dtype=object),
        errors=np.array([[*errors, *[0.0] * (width - len(errors))] for _, _, errors in rows]),
    )


def weighted_means(x: SymbolicTensor, dims: Sequence[Taps], unit: float) -> SymbolicTensor:
    """The weighted means over the last dims, in one step: a weight is the product of one of each dim.

    Args:
        x: the image.
        dims: the taps of each of its last dims.
        unit: u of the dtype. Where several weights are 0 but for rounding, the product of their errors is all there is.
    """
    inner = len(dims)
    shape = (*x.shape[:-inner], *(len(taps.first) for taps in dims))
    window = np.indices([taps.weights.shape[1] for taps in dims]).reshape(inner, -1)

    def tapped(at: Sequence[NDArray[np.int64]], k: NDArray[np.int64]) -> tuple[Any, Any, Any, Any]:
        """For each output place and k-th tap of it: the place in the image, whether there is one, its weight and error."""
        places, valid = [], np.ones(len(k), dtype=np.bool_)
        weight: Any = np.full(len(k), MP.one, dtype=object)
        error = np.zeros(len(k))
        for taps, place, step in zip(dims, at, window[:, k], strict=True):
            other, off = taps.weights[place, step], taps.errors[place, step]
            sizes = np.abs(weight).astype(np.float64), np.abs(other).astype(np.float64)
            error = error * sizes[1] + off * sizes[0] + unit * error * off + 2 * sizes[0] * sizes[1]
            weight = weight * other
            valid &= step < taps.count[place]
            places.append(taps.first[place] + step)
        return places, valid, weight, error

    def pull(at: Index) -> Scalar:
        k = np.arange(window.shape[1])
        places, valid, weight, error = tapped([np.full_like(k, place) for place in at[-inner:]], k)
        here = np.flatnonzero(valid)
        weights = [Scalar(weight[one], float(error[one])) for one in here]
        return sc.dot([x[(*at[:-inner], *(int(place[one]) for place in places))] for one in here], weights)

    def read(flats: NDArray[np.int64]) -> Many:
        assert x.many is not None
        at = [np.repeat(place, window.shape[1]) for place in np.unravel_index(flats, shape)]
        places, valid, weight, error = tapped(at[-inner:], np.tile(np.arange(window.shape[1]), len(flats)))
        inside = [place.clip(max=size - 1) for place, size in zip(places, x.shape[-inner:], strict=True)]
        wide = np.array([to_wide(one) for one in weight], dtype=np.longdouble)
        weights = Many(value=wide, error=error, carrying=np.zeros(len(wide), dtype=np.bool_))
        terms = at_once.where(x.many((*at[:-inner], *inside), len(wide)), valid)
        return at_once.summed(at_once.multiplied(terms, weights), len(flats))

    cheap = x.many is not None and window.shape[1]
    return SymbolicTensor(shape, pull, partial(at_once.once, read, shape) if cheap else None)
