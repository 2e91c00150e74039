"""Rules of images enlarged or shrunk by interpolation between the nearest elements along each dim, linear or cubic.

torch computes in floating point where an element of the output lies in the input. That rounding, which grows with the place,
is in the errors of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.registry import symbolic_rule
from gradviz.symbolic.rounding import unit_roundoff
from gradviz.symbolic.taps import Taps, step_between, taps_of, weighted_means
from gradviz.symbolic.tensor import SymbolicTensor

aten = torch.ops.aten
_HALF = MP.mpf("0.5")
_ROUNDINGS = 3
"""On the way to a place: of the step, of its product, of the half that is taken off."""
_NEAR = 8
"""So many times as far as that a place may be from an element for rounding to bring in that element's neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """How elements are weighted by their distance.

    Attributes:
        weight: at a distance below `reach`; beyond it is 0.
        reach: in steps of the input.
        steepest: no weight changes faster than that.
        roundings: how many of size 1 the weight takes, below and above a distance of 1.
    """

    weight: Callable[[Any], Any]
    reach: int
    steepest: float
    roundings: tuple[float, float]


def _keys(x: Any) -> Any:
    """Keys's cubic, with a = -3/4; torch evaluates these polynomials, whose terms cancel."""
    return (5 * x - 9) * x * x / 4 + 1 if x < 1 else -3 * (((x - 5) * x + 8) * x - 4) / 4


_LINEAR = Filter(weight=lambda x: 1 - x, reach=1, steepest=1.0, roundings=(1.0, 1.0))
_CUBIC = Filter(weight=_keys, reach=2, steepest=1.5, roundings=(6.0, 24.0))


@lru_cache(maxsize=64)
def _taps(
    filter_: Filter, size: int, out: int, align_corners: bool, factor: float | None, unit: float, coarser: float
) -> Taps:
    """Element o lies at (o + 1/2) steps of the input, whose elements lie at 1/2, 3/2, ...; what lies outside is at the edge.

    Args:
        filter_: how elements are weighted.
        size, out: of the input and the output.
        align_corners: whether the first and the last elements lie at the same places instead.
        factor: by which the image was to be enlarged, if that was given; of sizes it is the ratio.
        unit: u of the arithmetic of places and weights.
        coarser: u of the image in units of that.
    """
    if filter_ is _LINEAR and size == out:  # then torch does not interpolate, whatever the factor
        factor = None
    step = step_between(size, out, align_corners, factor)
    rows = []
    for place in range(out):
        at = step * place if align_corners else step * (place + _HALF) - _HALF
        at = at if filter_ is _CUBIC else max(at, MP.zero)
        moved = _ROUNDINGS * float(step * (place + 1) + 1)
        reach = filter_.reach + _NEAR * moved * unit
        found: dict[int, tuple[Any, float]] = {}
        for k in range(int(MP.ceil(at - reach)), int(MP.floor(at + reach)) + 1):
            distance = abs(k - at)
            weight = filter_.weight(distance) if distance < filter_.reach else MP.zero
            off = (filter_.steepest * moved + filter_.roundings[bool(distance >= 1)]) / coarser + abs(float(weight))
            inside = min(max(k, 0), size - 1)
            known, known_off = found.get(inside, (MP.zero, 0.0))
            found[inside] = known + weight, known_off + off
        rows.append((min(found), [found[k][0] for k in sorted(found)], [found[k][1] for k in sorted(found)]))
    return taps_of(rows)


def _interpolated(
    x: SymbolicTensor, align_corners: bool, factors: Sequence[float | None], made: Tensor, *, filter_: Filter
) -> SymbolicTensor:
    """The image `x`, of which `made` was made."""
    own = unit_roundoff(made.dtype)
    unit = min(own, unit_roundoff(torch.float32))
    inner = len(factors)
    dims = [
        _taps(filter_, size, out, align_corners, factor, unit, own / unit)
        for size, out, factor in zip(x.shape[-inner:], made.shape[-inner:], factors, strict=True)
    ]
    return weighted_means(x, dims, own)


@symbolic_rule(aten.upsample_linear1d.default, needs_outputs=True)
def linear1d(
    self: SymbolicTensor,
    output_size: Sequence[int],
    align_corners: bool,
    scales: float | None = None,
    *,
    outputs: tuple[Tensor, ...],
) -> SymbolicTensor:
    return _interpolated(self, align_corners, [scales], outputs[0], filter_=_LINEAR)


def image_rule(
    overload: OpOverload,
    resized: Callable[[SymbolicTensor, bool, Sequence[float | None], Tensor], SymbolicTensor],
) -> None:
    """The rule of an overload that resizes images: of the image, `align_corners`, the factors, and what torch made."""

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
        return resized(self, align_corners, (scales_h, scales_w), outputs[0])


image_rule(aten.upsample_bilinear2d.default, partial(_interpolated, filter_=_LINEAR))
image_rule(aten.upsample_bicubic2d.default, partial(_interpolated, filter_=_CUBIC))


@symbolic_rule(aten.upsample_trilinear3d.default, needs_outputs=True)
def trilinear3d(
    self: SymbolicTensor,
    output_size: Sequence[int],
    align_corners: bool,
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
    *,
    outputs: tuple[Tensor, ...],
) -> SymbolicTensor:
    return _interpolated(self, align_corners, [scales_d, scales_h, scales_w], outputs[0], filter_=_LINEAR)
