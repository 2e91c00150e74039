"""Rules of images enlarged or shrunk with antialiasing: along each dim a mean weighted by a filter as wide as the step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from gradviz.symbolic.arithmetic import MP
from gradviz.symbolic.registry import if_there
from gradviz.symbolic.rounding import unit_roundoff
from gradviz.symbolic.rules.interpolation import image_rule
from gradviz.symbolic.taps import Taps, step_between, taps_of, weighted_means
from gradviz.symbolic.tensor import SymbolicTensor

aten = torch.ops.aten
_HALF = MP.mpf("0.5")
_STEEPEST = 2.0
"""None of the filters changes faster than that."""


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
    step = step_between(size, out, align_corners, factor)
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
    return taps_of(rows)


def _register(overload: OpOverload, filter_name: str) -> None:
    """The rule of an overload that resizes images with this filter."""

    def resized(
        image: SymbolicTensor, align_corners: bool, factors: Sequence[float | None], made: Tensor
    ) -> SymbolicTensor:
        rows, columns = (
            _taps(filter_name, size, out, align_corners, factor)
            for size, out, factor in zip(image.shape[-2:], made.shape[-2:], factors, strict=True)
        )
        return weighted_means(image, [rows, columns], unit_roundoff(made.dtype))

    image_rule(overload, resized)


_register(aten._upsample_bilinear2d_aa.default, "linear")
_register(aten._upsample_bicubic2d_aa.default, "cubic")
for _lanczos_resize in if_there("_upsample_lanczos2d_aa"):
    _register(_lanczos_resize, "lanczos")
