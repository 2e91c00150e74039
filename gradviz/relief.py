"""A surface over two coordinates -> an SVG of it seen from above and aside, with an arrow along the gradient."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator

from gradviz.slices import Surface

SIDE = 440.0
CELLS = 20
ARROW_STEPS = 24
ARROW_SHARE = 0.6
TURN, TILT = math.radians(35), math.radians(32)
RAMP = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Viridis, from low to high."""

Point = tuple[float, float]


def relief_svg(surface: Surface, names: tuple[str, str], *, ink: str = "#333333") -> str:
    """The SVG; points where the function is not finite are left out.

    Args:
        surface: of `gradviz.slices.surface`.
        names: of its two coordinates.
        ink: the colour of the names and of the floor.
    """
    seen = _Seen(surface)
    cells = "".join(f'<polygon points="{_points(corners)}" fill="{colour}"/>' for corners, colour in seen.cells())
    lines = "".join(
        f'<text x="{x:.1f}" y="{y:.1f}">{html.escape(name)}</text>' for (x, y), name in zip(seen.ends(), names, strict=True)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE:g} {SIDE:g}" width="{SIDE:g}" role="img" '
        f'aria-label="The surface over {html.escape(" and ".join(names))}, with the gradient">'
        f'<polygon class="floor" points="{_points(seen.floor())}" fill="none" stroke="{ink}" stroke-opacity="0.4"/>'
        f'<g stroke="#0003" stroke-width="0.5" stroke-linejoin="round">{cells}</g>{_arrow(seen.arrow())}'
        f'<g fill="{ink}" font-family="sans-serif" font-size="15" text-anchor="middle">{lines}</g></svg>'
    )


class _Seen:
    """A surface in a cube whose sides go from −1 to 1, and where its points are on the paper."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        finite = [value for row in surface.values for value in row if math.isfinite(value)]
        self._low, self._high = min(finite, default=0.0), max(finite, default=1.0)

    def _height(self, value: float) -> float:
        """Between 0 and 1; the middle where the surface is flat."""
        high, low = self._high / 2, self._low / 2  # halves: their difference does not overflow
        return (value / 2 - low) / (high - low) if high > low else 0.5

    def _place(self, x: float, y: float, height: float) -> Point:
        """On the paper, of a point with x and y from −1 to 1."""
        across = x * math.cos(TURN) - y * math.sin(TURN)
        away = x * math.sin(TURN) + y * math.cos(TURN)
        up = away * math.sin(TILT) + (height - 0.5) * 1.3 * math.cos(TILT)
        return SIDE / 2 + across * SIDE * 0.33, SIDE / 2 - up * SIDE * 0.33

    def _on(self, column: float, row: float) -> float:
        """The value between the points of the grid, in proportion."""
        values = self._surface.values
        left, low = min(int(column), len(values[0]) - 2), min(int(row), len(values) - 2)
        right, up = column - left, row - low
        below = values[low][left] * (1 - right) + values[low][left + 1] * right
        above = values[low + 1][left] * (1 - right) + values[low + 1][left + 1] * right
        return below * (1 - up) + above * up

    def _corner(self, across: float, along: float) -> tuple[float, Point]:
        """The height and the place of a point of the surface, by its share of each side."""
        columns, rows = len(self._surface.first) - 1, len(self._surface.second) - 1
        height = self._height(self._on(across * columns, along * rows))
        return height, self._place(2 * across - 1, 2 * along - 1, height)

    def cells(self) -> Iterator[tuple[list[Point], str]]:
        """Corners and colours, from the farthest to the nearest."""
        order = [(column, row) for column in range(CELLS) for row in range(CELLS)]
        order.sort(key=lambda cell: -(cell[0] * math.sin(TURN) + cell[1] * math.cos(TURN)))
        for column, row in order:
            around = ((column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1))
            corners = [self._corner(across / CELLS, along / CELLS) for across, along in around]
            if all(math.isfinite(height) for height, _ in corners):
                yield [place for _, place in corners], height_colour(sum(height for height, _ in corners) / 4)

    def arrow(self) -> list[Point]:
        """From the point of the gradient up the surface; the point alone where the gradient is zero."""
        surface = self._surface
        starts = _share(surface.at[0], surface.first), _share(surface.at[1], surface.second)
        tip = surface.arrow(ARROW_SHARE)
        ends = _share(tip[0], surface.first), _share(tip[1], surface.second)
        steps = [step / ARROW_STEPS for step in range(ARROW_STEPS + 1)] if ends != starts else [0.0]
        way = [self._corner(*(a + (b - a) * step for a, b in zip(starts, ends, strict=True))) for step in steps]
        return [place for height, place in way if math.isfinite(height)]

    def floor(self) -> list[Point]:
        return [self._place(x, y, 0.0) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]

    def ends(self) -> tuple[Point, Point]:
        """Where the names of the coordinates stand."""
        return self._place(0.0, -1.2, 0.0), self._place(-1.2, 0.0, 0.0)


def _share(value: float, points: tuple[float, ...]) -> float:
    return (value - points[0]) / (points[-1] - points[0])


def height_colour(height: float) -> str:
    """Of viridis, for a height between 0 and 1."""
    place = min(max(height, 0.0), 1.0) * (len(RAMP) - 1)
    low = min(int(place), len(RAMP) - 2)
    mixed = (a + (b - a) * (place - low) for a, b in zip(RAMP[low], RAMP[low + 1], strict=True))
    return "#" + "".join(f"{round(part):02x}" for part in mixed)


def _points(points: list[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _arrow(way: list[Point]) -> str:
    if not way:
        return ""
    (x, y), (tip_x, tip_y) = way[0], way[-1]
    dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>'
    if len(way) < 2:
        return f'<g class="arrow" fill="#d55e00">{dot}</g>'
    before = way[max(-4, -len(way))]
    angle = math.atan2(tip_y - before[1], tip_x - before[0])
    wings = [(tip_x - 13 * math.cos(angle + turn), tip_y - 13 * math.sin(angle + turn)) for turn in (-0.45, 0.45)]
    line = f'<polyline points="{_points(way)}" fill="none" stroke="#d55e00" stroke-width="3"/>'
    return f'<g class="arrow" fill="#d55e00">{line}<polygon points="{_points([way[-1], *wings])}"/>{dot}</g>'
