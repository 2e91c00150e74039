"""Heat maps as images and tables."""

from __future__ import annotations

import math
import struct
import zlib

import pytest

from gradviz.render.heat import INFINITE, NAN, PIXELS, cell_colour, cell_side, heat_png, heat_table
from gradviz.view import HeatMap

HEAT = HeatMap(values=((1.0, -2.0, 0.0), (math.nan, math.inf, -math.inf)), limit=2.0)


def pixels(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and RGB bytes of a PNG without filters, read without our writer."""
    place, data, width, height = 8, b"", 0, 0
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        chunk = png[place + 8 : place + 8 + length]
        assert struct.unpack(">I", png[place + 8 + length : place + 12 + length])[0] == zlib.crc32(kind + chunk)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", chunk[:8])
        data += chunk if kind == b"IDAT" else b""
        place += 12 + length
    lines = zlib.decompress(data)
    stride = 1 + 3 * width
    assert all(lines[row * stride] == 0 for row in range(height))
    return width, height, b"".join(lines[row * stride + 1 : (row + 1) * stride] for row in range(height))


def test_the_image_shows_each_cell_in_its_colour() -> None:
    width, height, data = pixels(heat_png(HEAT))
    assert (width, height) == (3 * PIXELS, 2 * PIXELS)
    for row in range(2):
        for column in range(3):
            at = 3 * ((row * PIXELS + PIXELS // 2) * width + column * PIXELS + PIXELS // 2)
            assert "#" + data[at : at + 3].hex() == cell_colour(HEAT.values[row][column], HEAT.limit)


def test_the_table_has_the_colours_of_the_image() -> None:
    table = heat_table(HEAT, 4)
    assert [cell[:7] for cell in table.split('BGCOLOR="')[1:]] == [
        cell_colour(value, HEAT.limit) for row in HEAT.values for value in row
    ]


def test_colours_are_symmetric_about_zero_and_grow_with_magnitude() -> None:
    def distance(value: float) -> int:
        colour = cell_colour(value, 1.0)
        return sum(255 - int(colour[place : place + 2], 16) for place in (1, 3, 5))

    for sign in (1, -1):
        distances = [distance(sign * share / 10) for share in range(11)]
        assert distances == sorted(distances) and distances[0] == 0 < distances[1]


def test_nan_and_infinity_are_told_from_every_number() -> None:
    scale = {cell_colour(share / 100, 1.0) for share in range(-100, 101)}
    assert {cell_colour(math.nan, 1.0), cell_colour(math.inf, 1.0), cell_colour(-math.inf, 1.0)} == {NAN, INFINITE}
    assert not scale & {NAN, INFINITE}


def test_a_map_of_zeros_is_white() -> None:
    assert cell_colour(0.0, 0.0) == "#ffffff"


@pytest.mark.parametrize("side", [1, 2, 8, 31, 32])
def test_a_map_is_about_as_large_as_it_may_be(side: int) -> None:
    heat = HeatMap(values=((0.0,) * side,) * side, limit=0.0)
    assert 3 <= cell_side(heat, 96) <= 12
    assert side * cell_side(heat, 96) <= 96 + side
