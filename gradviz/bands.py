"""A surface over two coordinates -> the map of it seen from straight above, in bands of equal height: a PNG image."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradviz.relief import height_colour
from gradviz.render.png import png
from gradviz.slices import Surface

MOST = 16
SIDE = 880
"""Pixels along each side of the map: twice as many as it is drawn with, so that the browser smooths the edges of bands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The bands of a surface.

    Attributes:
        edges: from the lowest to the highest, one more than there are bands.
        colours: of each band, from the lowest to the highest.
        png: the map, the second coordinate upwards; what is not finite is transparent.
    """

    edges: tuple[float, ...]
    colours: tuple[str, ...]
    png: bytes


def bands(surface: Surface) -> Bands:
    """The surface in at most 16 bands with round edges; between the points of its grid heights are in proportion."""
    heights = np.array(surface.values, dtype=np.float64)
    finite = heights[np.isfinite(heights)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    step = _round_step(low, high)
    first, count = (math.floor(low / step), _count(low, high, step)) if step else (0, 1)
    edges = tuple((first + place) * step for place in range(count + 1)) if step else (low, high)
    with np.errstate(invalid="ignore", over="ignore"):
        fine = _between(heights)
        band = np.clip(np.floor(fine / step) - first, 0, count - 1) if step else np.zeros_like(fine)
    pixels = np.where(np.isfinite(fine), band + 1, 0).astype(np.uint8)[::-1]  # 0 is transparent
    colours = tuple(height_colour((place + 0.5) / count) for place in range(count))
    return Bands(edges=edges, colours=colours, png=_map(pixels, colours))


def _round_step(low: float, high: float) -> float:
    """The smallest of 1, 2, 5, 10, ... of which at most `MOST`, at round places, cover all heights; 0 where all are one.

    >>> [_round_step(*ends) for ends in ((0.0, 0.0), (0.0, 1.6), (0.05, 1.65), (-7.0, 7.0), (-1e308, 1e308))]
    [0.0, 0.1, 0.2, 1.0, 2e+307]
    """
    least = (high / 2 - low / 2) / MOST * 2  # halves: their difference does not overflow
    if least <= 0:
        return 0.0
    power = math.floor(math.log10(least))
    steps = (float(f"{place}e{power}") for place in (1, 2, 5, 10, 20))
    return next(step for step in steps if step >= least * (1 - 1e-9) and _count(low, high, step) <= MOST)


def _count(low: float, high: float, step: float) -> int:
    return max(1, math.ceil(high / step) - math.floor(low / step))


def _between(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The heights at the middle of each pixel; not finite beside a point that is not."""
    rows, columns = heights.shape
    along, across = ((np.arange(SIDE) + 0.5) / SIDE * (points - 1) for points in (rows, columns))
    low, left = (place.astype(np.intp) for place in (along, across))
    up, right = (along - low)[:, None], across - left
    lines = heights[low] * (1 - up) + heights[low + 1] * up
    found: NDArray[np.float64] = lines[:, left] * (1 - right) + lines[:, left + 1] * right
    return found


def _map(pixels: NDArray[np.uint8], colours: tuple[str, ...]) -> bytes:
    lines = np.hstack([np.zeros((SIDE, 1), dtype=np.uint8), pixels])
    palette = bytes(3) + b"".join(bytes.fromhex(colour[1:]) for colour in colours)
    chunks = ((b"PLTE", palette), (b"tRNS", b"\0"), (b"IDAT", zlib.compress(lines.tobytes())))
    return png(SIDE, SIDE, 3, chunks)
