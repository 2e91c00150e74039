"""Rules of images enlarged or shrunk with antialiasing: along each dim a mean weighted by a filter as wide as the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._ops import OpOverload

from gradviz.symbolic import many as at_once
from gradviz.symbolic import scalar as sc
from gradviz.symbolic.arithmetic import EXACT, MP, to_wide
from gradviz.symbolic.many import Many
from gradviz.symbolic.registry import if_there, symbolic_rule
from gradviz.symbolic.rounding import unit_roundoff
from gradviz.symbolic.scalar import Scalar
from gradviz.symbolic.tensor import Index, SymbolicTensor

aten = torch.ops.aten
_HALF = MP.mpf("0.5")
_STEEPEST = 2.0
"""None of the filters changes faster than that."""


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


def _triangle(x: Any) -> Any:
    return 1 - x


def _cubic(x: Any) -> Any:
    """Keys's, with a = -1/2."""
    return (3 * x - 5) * x * x / 2 + 1 if x < 1 else -(((x - 5) * x + 8) * x - 4) / 2


def _lanczos(x: Any) -> Any:
    return MP.sincpi(x) * MP.sincpi(x / 3)


_FILTERS: Mapping[str, tuple[Callable[[Any], Any], int]] = {
    "linear": (_triangle, 1),
    "cubic": (_cubic, 2),
    "lanczos": (_lanczos, 3),
}
"""Each filter at distances from 0 up to where it ends, and where that is."""


@lru_cache(maxsize=64)
def _taps(filter_name: str, size: int, out: int, align_corners: bool, factor: float | None) -> Taps:
    """Element o lies at (o + 1/2) steps of the input, whose elements lie at 1/2, 3/2, ...; a filter spans a step or more."""
    weigh, reach = _FILTERS[filter_name]
    if align_corners:
        step = MP.mpf(size - 1) / (out - 1) if out > 1 else MP.zero
    else:
        step = 1 / EXACT.number(factor) if factor else MP.mpf(size) / out
    wide = max(step, MP.one)
    rows: list[tuple[int, list[Any], list[float]]] = []
    for place in range(out):
        centre = step * (place + _HALF)
        # one more on either side: rounding may bring it in, with a weight of nearly 0
        first = max(int(MP.floor(centre - reach * wide - _HALF)), 0)
        last = min(int(MP.ceil(centre + reach * wide + _HALF)), size)
        distances = [abs(k + _HALF - centre) / wide for k in range(first, last)]
        raw = [weigh(distance) if distance < reach else MP.zero for distance in distances]
        off = [_STEEPEST * float(2 * centre / wide + 3 * distance + 1) for distance in distances]
        total = MP.fsum(raw)
        weights = [one / total for one in raw]
        share = sum(off) / abs(float(total))
        errors = [one / abs(float(total)) + abs(float(w)) * (share + 2) for one, w in zip(off, weights, strict=True)]
        rows.append((first, weights, errors))
    width = max((len(weights) for _, weights, _ in rows), default=0)
    return Taps(
        first=np.array([first for first, _, _ in rows], dtype=np.int64),
        count=np.array([len(weights) for _, weights, _ in rows], dtype=np.int64),
        weights=np.array([[*weights, *[MP.zero] * (width - len(weights))] for _, weights, _ in rows], dtype=object),
        errors=np.array([[*errors, *[0.0] * (width - len(errors))] for _, _, errors in rows]),
    )


def _resampled(x: SymbolicTensor, rows: Taps, columns: Taps, unit: float) -> SymbolicTensor:
    """The weighted means over the last two dims, in one step: a weight is the product of one of each dim.

    Both may be 0 but for rounding: then the product of their errors is all there is.
    """
    shape = (*x.shape[:-2], len(rows.first), len(columns.first))
    window = np.indices((rows.weights.shape[1], columns.weights.shape[1])).reshape(2, -1)

    def taps(row: NDArray[np.int64], column: NDArray[np.int64], k: NDArray[np.int64]) -> tuple[Any, Any, Any, Any, Any]:
        """For each triple: the places of the k-th tap, whether there is one, its weight and the error of that."""
        down, across = window[:, k]
        first, second = rows.weights[row, down], columns.weights[column, across]
        off, also_off = rows.errors[row, down], columns.errors[column, across]
        sizes = np.abs(first).astype(np.float64), np.abs(second).astype(np.float64)
        error = off * sizes[1] + also_off * sizes[0] + unit * off * also_off + 2 * sizes[0] * sizes[1]
        valid = (down < rows.count[row]) & (across < columns.count[column])
        return rows.first[row] + down, columns.first[column] + across, valid, first * second, error

    def pull(at: Index) -> Scalar:
        *outer, row, column = at
        k = np.arange(window.shape[1])
        found = zip(*taps(np.full_like(k, row), np.full_like(k, column), k), strict=True)
        inside = [one for one in found if one[2]]
        weights = [Scalar(weight, float(error)) for *_, weight, error in inside]
        return sc.dot([x[(*outer, int(down), int(across))] for down, across, *_ in inside], weights)

    def read(flats: NDArray[np.int64]) -> Many:
        assert x.many is not None
        *outer, row, column = (np.repeat(place, window.shape[1]) for place in np.unravel_index(flats, shape))
        down, across, valid, weight, error = taps(row, column, np.tile(np.arange(window.shape[1]), len(flats)))
        inside = (*outer, down.clip(max=x.shape[-2] - 1), across.clip(max=x.shape[-1] - 1))
        wide = np.array([to_wide(one) for one in weight], dtype=np.longdouble)
        weights = Many(value=wide, error=error, carrying=np.zeros(len(wide), dtype=np.bool_))
        terms = at_once.where(x.many(inside, len(wide)), valid)
        return at_once.summed(at_once.multiplied(terms, weights), len(flats))

    cheap = x.many is not None and window.shape[1]
    return SymbolicTensor(shape, pull, partial(at_once.once, read, shape) if cheap else None)


def _register(overload: OpOverload, filter_name: str) -> None:
    """The rule of an overload that resizes images with this filter."""

    @symbolic_rule(overload, needs_outputs=True)
    def resize(
        self: SymbolicTensor,
        output_size: Sequence[int],
        align_corners: bool,
        scales_h: float | None = None,
        scales_w: float | None = None,
        *,
        outputs: tuple[Tensor, ...],
    ) -> SymbolicTensor:
        sizes, factors = outputs[0].shape[-2:], (scales_h, scales_w)
        rows, columns = (
            _taps(filter_name, size, out, align_corners, factor)
            for size, out, factor in zip(self.shape[-2:], sizes, factors, strict=True)
        )
        return _resampled(self, rows, columns, unit_roundoff(outputs[0].dtype))


_register(aten._upsample_bilinear2d_aa.default, "linear")
_register(aten._upsample_bicubic2d_aa.default, "cubic")
for _lanczos_resize in if_there("_upsample_lanczos2d_aa"):
    _register(_lanczos_resize, "lanczos")
