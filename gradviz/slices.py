"""An expression at some values -> how it goes on around them: along one variable with the tangent, over two variables with
the gradient, and central differences beside autograd's number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradviz.errors import InputError
from gradviz.expression import Expression, evaluate, parse, to_tensor

CURVE_POINTS, SURFACE_POINTS = 201, 61
STEPS = tuple(10.0**-exponent for exponent in range(1, 13))


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One number among the values of the variables: a scalar, or an element of a vector or matrix.

    >>> Coordinate("A", (0, 1)).label, Coordinate("x").label
    ('A[0, 1]', 'x')
    """

    name: str
    index: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name}[{', '.join(map(str, self.index))}]" if self.index else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The function along one coordinate.

    Attributes:
        points, values: of the curve.
        at, value, slope: where the tangent touches it, and autograd's derivative there.
    """

    points: tuple[float, ...]
    values: tuple[float, ...]
    at: float
    value: float
    slope: float

    def tangent(self, point: float) -> float:
        """The height of the tangent."""
        return self.value + self.slope * (point - self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """The function over two coordinates.

    Attributes:
        first, second: the points along each.
        values: one row for each point of the second coordinate.
        at: where the gradient is taken.
        gradient: autograd's, for the two coordinates.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    at: tuple[float, float]
    gradient: tuple[float, float]

    @property
    def heading(self) -> float:
        """The direction of the gradient, in degrees clockwise from the second coordinate's axis."""
        return math.degrees(math.atan2(*self.gradient))

    def arrow(self, share: float) -> tuple[float, float]:
        """Where an arrow along the gradient ends that starts at `at`.

        Args:
            share: its length, as a part of the way from `at` to the edge of the surface.
        """
        size = math.hypot(*self.gradient)
        if not size or not math.isfinite(size):
            return self.at
        reach = min(self.first[-1] - self.at[0], self.second[-1] - self.at[1])
        first, second = (component / size * share * reach for component in self.gradient)
        return self.at[0] + first, self.at[1] + second


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One central difference: its step, the estimate of the derivative, and how far that is from autograd's."""

    step: float
    estimate: float
    error: float


def coordinates(at: Mapping[str, Any]) -> tuple[Coordinate, ...]:
    """All coordinates of the values, in their order.

    >>> [coordinate.label for coordinate in coordinates({"x": 2.0, "v": [1.0, 3.0]})]
    ['x', 'v[0]', 'v[1]']
    """
    shapes = {name: to_tensor(value, name).shape for name, value in at.items()}
    return tuple(
        Coordinate(name, tuple(int(place) for place in index))
        for name, shape in shapes.items()
        for index in (torch.ones(shape).nonzero().tolist() if shape else [()])
    )


def curve(text: str, at: Mapping[str, Any], coordinate: Coordinate, *, reach: float = 2.0) -> Curve:
    """The function along a coordinate, all others held fixed.

    Args:
        text: an expression whose result is one number.
        at: the values of its variables.
        coordinate: which number moves.
        reach: how far to each side.

    Raises:
        GradvizError: the text or a value is not accepted, the result is not one number, or the reach is too small to lead
            from a large value to any other.

    >>> found = curve("x^2", {"x": 3.0}, Coordinate("x"))
    >>> found.at, found.value, found.slope, found.tangent(4.0)
    (3.0, 9.0, 6.0, 15.0)
    """
    function = _Function(text, at, [coordinate])
    middle = function.at[0]
    points = _around(coordinate, middle, reach, CURVE_POINTS)
    return Curve(
        points=tuple(points.tolist()),
        values=tuple(function.values(points[:, None]).tolist()),
        at=middle,
        value=function.value(),
        slope=function.gradient()[0],
    )


def surface(
    text: str, at: Mapping[str, Any], first: Coordinate, second: Coordinate, *, reach: tuple[float, float] = (2.0, 2.0)
) -> Surface:
    """The function over two coordinates, all others held fixed. Arguments and errors are as for `curve`."""
    function = _Function(text, at, [first, second])
    sides = zip((first, second), function.at, reach, strict=True)
    across, up = (_around(coordinate, middle, far, SURFACE_POINTS) for coordinate, middle, far in sides)
    values = function.values(torch.cartesian_prod(up, across).flip(1)).reshape(len(up), len(across))
    gradient = function.gradient()
    return Surface(
        first=tuple(across.tolist()),
        second=tuple(up.tolist()),
        values=tuple(map(tuple, values.tolist())),
        at=(function.at[0], function.at[1]),
        gradient=(gradient[0], gradient[1]),
    )


def differences(text: str, at: Mapping[str, Any], coordinate: Coordinate) -> tuple[float, tuple[Difference, ...]]:
    """Autograd's derivative, and central differences with ever smaller steps beside it.

    Large steps err because the function bends, small ones because the two values agree in most of their digits.

    >>> slope, found = differences("x^3", {"x": 1.0}, Coordinate("x"))
    >>> slope, round(found[0].estimate, 10), [round(difference.error, 6) for difference in found[:3]]
    (3.0, 3.01, [0.01, 0.0001, 1e-06])
    """
    function = _Function(text, at, [coordinate])
    middle, (slope,) = function.at[0], function.gradient()
    steps = [max(1.0, abs(middle)) * step for step in STEPS]
    ends = torch.tensor([[middle + sign * step] for step in steps for sign in (1, -1)], dtype=torch.float64)
    values = function.values(ends).reshape(-1, 2)
    widths = ends.reshape(-1, 2)
    estimates = ((values[:, 0] - values[:, 1]) / (widths[:, 0] - widths[:, 1])).tolist()
    return slope, tuple(
        Difference(step=step, estimate=estimate, error=abs(estimate - slope))
        for step, estimate in zip(steps, estimates, strict=True)
    )


class _Function:
    """An expression as a function of some coordinates."""

    def __init__(self, text: str, at: Mapping[str, Any], moving: Sequence[Coordinate]) -> None:
        self._expression: Expression = parse(text)
        missing = [name for name in self._expression.variables if name not in at]
        if missing:
            raise InputError(f"no value for {', '.join(missing)}; give one to each variable")
        self._tensors = {name: to_tensor(at[name], name).to(torch.float64) for name in self._expression.variables}
        self._moving = moving
        for coordinate in moving:
            if coordinate.name not in self._tensors:
                known = ", ".join(self._tensors)
                raise InputError(f"the expression has no variable {coordinate.name!r}; its variables are {known}")
        self.at = [self._tensors[coordinate.name][coordinate.index].item() for coordinate in moving]
        if (shape := self._with(torch.tensor(self.at, dtype=torch.float64)).shape).numel() != 1:
            raise InputError(f"the result has shape {list(shape)}; accepted: one number, for instance its norm or its sum")

    def value(self) -> float:
        return self._with(torch.tensor(self.at, dtype=torch.float64)).item()

    def values(self, points: Tensor) -> Tensor:
        """The results at points, a row each."""
        found: Tensor = torch.vmap(lambda point: self._with(point).reshape(()))(points)
        return found

    def gradient(self) -> list[float]:
        point = torch.tensor(self.at, dtype=torch.float64, requires_grad=True)
        result = self._with(point)
        if not result.requires_grad:
            return [0.0] * len(self.at)
        found: list[float] = torch.autograd.grad(result.reshape(()), point)[0].tolist()
        return found

    def _with(self, point: Tensor) -> Tensor:
        """The result with the coordinates at `point`."""
        tensors = dict(self._tensors)
        for place, coordinate in enumerate(self._moving):
            whole = tensors[coordinate.name]
            here = torch.zeros_like(whole, dtype=torch.bool)
            here[coordinate.index] = True
            tensors[coordinate.name] = torch.where(here, point[place], whole)
        return evaluate(self._expression, tensors)


def _around(coordinate: Coordinate, middle: float, reach: float, count: int) -> Tensor:
    """Points around a number, which is one of them."""
    points = middle + reach * torch.linspace(-1, 1, count, dtype=torch.float64)
    points[count // 2] = middle  # torch's own middle is 1e-17
    if not points[0] < middle < points[-1]:
        same = f"{coordinate.label} = {middle:.4g} ± {reach:g} is {middle:.4g} again in float64"
        raise InputError(f"{same}; accepted: a reach that leads to other numbers")
    return points
