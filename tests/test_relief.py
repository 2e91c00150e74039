"""A surface as a drawing: what is higher is drawn higher, and the arrow climbs."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from gradviz.relief import CELLS, relief_svg
from gradviz.slices import Coordinate, surface

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str, **at: float) -> ET.Element:
    names = [Coordinate("x"), Coordinate("y")]
    return ET.fromstring(relief_svg(surface(text, at, *names), ("x", "y")))


def spots(shape: ET.Element | None) -> list[tuple[float, float]]:
    assert shape is not None
    return [(float(x), float(y)) for x, y in re.findall(r"([-\d.]+),([-\d.]+)", shape.attrib["points"])]


def test_what_is_higher_is_drawn_higher_and_brighter() -> None:
    hill, hole = (drawn(f"{sign}exp(-x^2 - y^2)", x=0.0, y=0.0) for sign in ("", "-"))

    def middle(whole: ET.Element) -> tuple[float, str]:
        cells = whole.findall(f"{SVG}g")[0].findall(f"{SVG}polygon")
        assert len(cells) == CELLS**2
        nearest = min(cells, key=lambda cell: abs(sum(x for x, _ in spots(cell)) / 4 - 220) + abs(cells.index(cell) - 200))
        return sum(y for _, y in spots(nearest)) / 4, nearest.attrib["fill"]

    (high, bright), (low, dark) = middle(hill), middle(hole)
    assert high < low and int(bright[1:3], 16) + int(bright[3:5], 16) > int(dark[1:3], 16) + int(dark[3:5], 16)


def test_the_arrow_starts_at_the_point_and_a_gradient_of_zero_is_a_dot() -> None:
    plane, top = drawn("x + 0*y", x=1.0, y=1.0), drawn("x^2 + y^2", x=0.0, y=0.0)
    way = spots(plane.find(f".//{SVG}polyline"))
    assert way[0] == (220, 220) and way[-1][0] > 220 and way[-1][1] < 220
    assert top.find(f".//{SVG}polyline") is None and top.find(f".//{SVG}circle") is not None


def test_what_is_not_finite_is_left_out_and_names_are_text() -> None:
    half = drawn("log(x)*y", x=0.0, y=1.0)
    assert 0 < len(half.findall(f"{SVG}g")[0].findall(f"{SVG}polygon")) < 0.6 * CELLS**2
    assert "nan" not in ET.tostring(half, encoding="unicode")
    flat = surface("0*x + y*0", {"x": 1.0, "y": 1.0}, Coordinate("x"), Coordinate("y"))
    assert "&lt;b&gt;" in relief_svg(flat, ("<b>", "y"))
