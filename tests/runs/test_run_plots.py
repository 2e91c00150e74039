"""The plots of a report: what stands where, and that no text lies over another or leaves the picture."""

from __future__ import annotations

import math
import re
from itertools import combinations

import pytest

from gradviz.runs.curves import curves
from gradviz.runs.heat import heat_map, share_shade
from gradviz.runs.series import Series
from gradviz.runs.svg import LETTER, NARROW, WIDE

TEXT = re.compile(r'<text x="([-\d.]+)" y="([-\d.]+)"(?: text-anchor="(\w+)")?(?: class="\w+")?>([^<]*)</text>')


def series(*values: float, name: str = "layer.weight", first: int = 0, every: int = 1) -> Series:
    return Series(name=name, rank=0, steps=tuple(range(first, first + every * len(values), every)), values=values)


def boxes(picture: str) -> list[tuple[float, float, float, str]]:
    """Left end, right end, height and words of each text."""
    found = []
    for x, y, anchor, words in TEXT.findall(picture):
        size = LETTER * len(words)
        left = float(x) - {"": 0.0, "middle": size / 2, "end": size}[anchor]
        found.append((left, left + size, float(y), words))
    return found


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize(("first", "every", "count"), [(0, 1, 3), (0, 100, 60), (990_000, 1000, 12), (5, 1, 1)])
def test_texts_lie_beside_each_other_and_within_the_picture(width: float, first: int, every: int, count: int) -> None:
    values = [1e-9 * (1.5 + math.sin(place)) for place in range(count)]
    rows = [series(*values, name=name, first=first, every=every) for name in ("a", "layers.0.attention.in_proj.weight")]
    for picture in (
        curves(rows, "norm", ranks=True, width=width),
        heat_map(rows, "norm", share_shade, ranks=True, width=width),
    ):
        placed = boxes(picture)
        assert placed and all(left >= -1 and right <= width + 1 for left, right, _, _ in placed), placed
        for (left, right, y, words), (other_left, other_right, other_y, other) in combinations(placed, 2):
            assert abs(y - other_y) > 10 or right <= other_left or other_right <= left, (words, other)


@pytest.mark.parametrize(
    ("values", "marks"),
    [
        ((0.011, 3.0, 50.0), {"0.01", "0.1", "1", "10", "100"}),
        ((1.2, 1.4, 1.3), {"1.2", "1.25", "1.3", "1.35", "1.4"}),
        ((-0.5, 1.0, 3.5), {"−1", "0", "1", "2", "3", "4"}),
        ((2.0, 2.0, 2.0), {"2", "2.5"}),
    ],
    ids=["three decades", "less than one", "around 0", "all the same"],
)
def test_scale_fits_the_numbers(values: tuple[float, ...], marks: set[str]) -> None:
    picture = curves([series(*values)], "loss", ranks=False)
    at_left = {words for _, right, _, words in boxes(picture) if right < 60}
    assert at_left >= marks
    heights = [float(y) for y in re.findall(r'<circle cx="[\d.]+" cy="([\d.]+)"', picture)]
    assert all(18 <= y <= 220 for y in heights)
    assert sorted(heights, reverse=True) == [heights[place] for place in sorted(range(3), key=values.__getitem__)]


def test_what_is_not_finite_is_a_cross_and_breaks_the_line() -> None:
    picture = curves([series(1.0, 2.0, math.nan, 3.0, 5.0)], "loss", ranks=False)
    assert picture.count("✗") == 1 and picture.count("<polyline") == 2
    assert curves([series(math.nan)], "loss", ranks=False) == ""
    assert heat_map([series(1.0, math.inf)], "norm", share_shade, ranks=False).count("✗") == 1
