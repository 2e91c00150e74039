"""The map of a surface: round edges, colours from low to high, curves that are as smooth as the surface."""

from __future__ import annotations

import io
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gradviz.bands import MOST, SIDE, Bands, bands
from gradviz.slices import Coordinate, surface


def over(text: str, **at: float) -> Bands:
    return bands(surface(text, at, Coordinate("x"), Coordinate("y")))


def drawn(seen: Bands) -> NDArray[np.uint8]:
    """The colours of the pixels with their opacity."""
    return np.asarray(Image.open(io.BytesIO(seen.png)).convert("RGBA"))


def test_each_pixel_has_the_colour_of_the_band_that_its_height_is_in() -> None:
    seen = over("x^2 + y", x=0.0, y=1.0)
    assert seen.edges == (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0)
    x = (np.arange(SIDE) + 0.5) / SIDE * 4 - 2
    heights = x**2 + (1 - x)[:, None]
    colours = np.array([[*bytes.fromhex(colour[1:]), 255] for colour in seen.colours])
    expected = colours[np.floor((heights + 1) / 0.5).astype(int)]
    wrong = (drawn(seen) != expected).any(axis=2)
    off = np.abs(heights / 0.5 - np.round(heights / 0.5)) * 0.5
    assert not wrong[off > 0.0012].any()  # of the grid's cells, 4 / 60 wide, chords leave a parabola by 0.0011
    assert 0 < wrong.mean() < 0.005


@pytest.mark.parametrize("text", ["x*y", "1e-300*x*y", "1e308*sin(x) + y", "1/x + y", "100 + 1e-9*x*y"])
def test_there_are_between_seven_and_sixteen_bands_with_edges_that_rise_around_all_heights(text: str) -> None:
    found = surface(text, {"x": 1.0, "y": 2.0}, Coordinate("x"), Coordinate("y"))
    seen, heights = bands(found), np.array(found.values)
    finite = heights[np.isfinite(heights)]
    assert 7 <= len(seen.colours) == len(seen.edges) - 1 <= MOST
    assert all(low < high for low, high in pairwise(seen.edges))
    assert seen.edges[0] <= finite.min() and finite.max() <= seen.edges[-1]


def test_what_is_not_finite_is_transparent_and_what_is_flat_is_one_band() -> None:
    half = drawn(over("log(x) + y", x=0.0, y=1.0))[:, :, 3]
    assert not half[:, : SIDE // 2].any() and half[:, SIDE // 2 + SIDE // 60 + 1 :].all()
    flat = over("0*x + 0*y + 7", x=1.0, y=1.0)
    assert flat.edges == (7.0, 7.0) and len(flat.colours) == 1 and drawn(flat)[:, :, 3].all()
    nowhere = over("log(x - 100) + y", x=0.0, y=1.0)
    assert not drawn(nowhere)[:, :, 3].any()
