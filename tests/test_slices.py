"""Expressions around some values, against numpy's functions and torch's gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradviz
from gradviz.errors import InputError
from gradviz.slices import Coordinate, coordinates, curve, differences, surface

AT = {"x": 2.0, "y": 3.0}
TEXT = "x*y + sin(pi*x)"


def test_a_curve_is_the_function_and_its_tangent_has_the_slope_of_the_gradient() -> None:
    found = curve(TEXT, AT, Coordinate("x"), reach=0.5)
    points = np.array(found.points)
    assert (found.points[0], found.points[-1], found.at, found.value) == (1.5, 2.5, 2.0, 6.0)
    np.testing.assert_allclose(found.values, points * 3 + np.sin(np.pi * points), rtol=1e-14)
    assert found.slope == float(gradviz.trace(TEXT, at=AT, device="cpu").gradients()["x"])
    assert found.tangent(2.5) == pytest.approx(6 + 0.5 * found.slope)


def test_a_curve_along_an_element_moves_only_that_element() -> None:
    at = {"A": [[1.0, -2.0], [0.5, 0.25]], "x": [0.5, -1.0]}
    found = curve("sum((A @ x)^2)", at, Coordinate("A", (1, 0)))
    expected = [(1 * 0.5 + 2) ** 2 + (0.5 * value - 0.25) ** 2 for value in found.points]
    np.testing.assert_allclose(found.values, expected, rtol=1e-14)
    assert found.slope == pytest.approx(2 * (0.5 * 0.5 - 0.25) * 0.5)


def test_a_surface_has_a_row_for_each_point_upwards_and_the_gradient() -> None:
    found = surface("x^2 - y", AT, Coordinate("x"), Coordinate("y"), reach=(1.0, 2.0))
    expected = np.array(found.first)[None, :] ** 2 - np.array(found.second)[:, None]
    np.testing.assert_allclose(found.values, expected, rtol=1e-14)
    assert (found.at, found.gradient) == ((2.0, 3.0), (4.0, -1.0))
    assert found.heading == pytest.approx(math.degrees(math.atan2(4, -1)))
    tip = found.arrow(0.5)
    assert math.dist(tip, found.at) == pytest.approx(0.5) and (tip[0] - 2) / (tip[1] - 3) == pytest.approx(-4)


def test_where_the_gradient_is_zero_the_arrow_has_no_length() -> None:
    found = surface("x*y", {"x": 0.0, "y": 0.0}, Coordinate("x"), Coordinate("y"))
    assert found.gradient == (0.0, 0.0) and found.arrow(1.0) == (0.0, 0.0)


def test_differences_come_near_and_go_away_again() -> None:
    slope, found = differences(TEXT, AT, Coordinate("x"))
    errors = [one.error for one in found]
    nearest = errors.index(min(errors))
    assert slope == pytest.approx(3 + math.pi, rel=1e-15)
    assert 2 < nearest < len(errors) - 2 and errors[nearest] < 1e-8
    assert errors[0] > 100 * errors[2] and errors[-1] > 100 * errors[nearest]
    assert all(one.error == abs(one.estimate - slope) for one in found)


def test_every_number_is_a_coordinate() -> None:
    found = coordinates({"A": [[1.0, 2.0], [3.0, 4.0]], "x": 1.0, "v": [1.0]})
    assert [one.label for one in found] == ["A[0, 0]", "A[0, 1]", "A[1, 0]", "A[1, 1]", "x", "v[0]"]


def test_the_number_itself_is_a_point_of_its_curve() -> None:
    found = curve("1/x", {"x": 0.0}, Coordinate("x"))
    assert found.values[100] == math.inf and max(map(abs, found.values[:100] + found.values[101:])) == pytest.approx(50)


def test_a_constant_result_has_slope_zero() -> None:
    assert curve("sign(x)", {"x": 2.0}, Coordinate("x")).slope == 0


def test_what_is_no_function_of_the_coordinate_is_refused() -> None:
    with pytest.raises(InputError, match="no variable 'z'; its variables are x, y"):
        curve(TEXT, AT, Coordinate("z"))
    with pytest.raises(InputError, match=r"the result has shape \[2\]; accepted: one number"):
        curve("x*v", {"x": 1.0, "v": [1.0, 2.0]}, Coordinate("x"))
    with pytest.raises(InputError, match="no value for y"):
        curve(TEXT, {"x": 1.0}, Coordinate("x"))


def test_a_reach_that_leads_to_no_other_number_is_refused() -> None:
    with pytest.raises(InputError, match=r"x = 1e\+17 ± 2 is 1e\+17 again in float64; accepted: a reach"):
        curve("2*x", {"x": 1e17}, Coordinate("x"))
    assert curve("2*x", {"x": 1e17}, Coordinate("x"), reach=1e3).slope == 2
    with pytest.raises(InputError, match=r"y = 1e\+300 ± 2"):
        surface("x*y", {"x": 1.0, "y": 1e300}, Coordinate("x"), Coordinate("y"))
