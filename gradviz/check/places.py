"""Images read at the places of a grid: what is right where rounding decides beside which pixels a place lies.

A kernel computes a place in an image in its own order and dtype, and where it comes out on the other side of a pixel, other
pixels are read: those that the place is true of, and those that it is true of a little to each of its sides, are all right.
"""

from __future__ import annotations

import itertools
import math
from functools import cached_property

import torch

from gradviz.check.arrays import Index, widened
from gradviz.opcall import OpCall
from gradviz.rerun import run_call
from gradviz.symbolic import NoRule, Reference, Row, reference, unit_roundoff

EDGE = "edge between pixels"
_READING = {"grid_sampler_2d", "grid_sampler_3d", "cudnn_grid_sampler"}
_ROUNDINGS = 4


def beside_of(call: OpCall | None) -> PlacesBeside | None:
    """The call at places a little beside; None where it reads no image at the places that its second argument holds."""
    return PlacesBeside(call) if call is not None and call.op in _READING else None


class PlacesBeside:
    """A call that reads an image at places from -1 to 1, at its own and at those a little to all sides of them."""

    def __init__(self, call: OpCall) -> None:
        self._call = call
        self._rows: dict[tuple[int, Index], list[Row]] = {}

    def partials(self, position: int, element: Index, place: int, index: Index) -> tuple[float, float]:
        """The smallest and largest derivative of an output element with respect to one of an argument; NaN: not known."""
        if (place, index) not in self._rows:
            self._rows[place, index] = [truth.row(index, output=place) for truth in self._truths]
        rows = self._rows[place, index]
        numbers = [float(row.partial(position, element).value) for row in rows] or [math.nan]
        return min(numbers), max(numbers)

    def values(self, place: int, index: Index) -> tuple[float, float]:
        """The smallest and largest value of an output element; NaN where they are not known."""
        numbers = [float(truth.value(index, output=place)) for truth in self._truths] or [math.nan]
        return min(numbers), max(numbers)

    @cached_property
    def _truths(self) -> list[Reference]:
        image, grid = (argument.tensor for argument in self._call.tensor_arguments())
        wide, places = widened(image).cpu(), widened(grid).cpu()
        unit = max(unit_roundoff(image.dtype), unit_roundoff(grid.dtype))
        step = _ROUNDINGS * unit * places.abs().clamp(min=1.0)
        ways = itertools.product((-1.0, 0.0, 1.0), repeat=places.shape[-1])
        try:
            return [self._at(wide, places + step * torch.tensor(way, dtype=torch.float64)) for way in ways]
        except NoRule:
            return []

    def _at(self, image: torch.Tensor, places: torch.Tensor) -> Reference:
        tensors = [image, places]
        outputs = run_call(self._call, tensors, widen=True)
        args, kwargs = self._call.arguments_with(lambda position, _: tensors[position])
        return reference(OpCall(overload=self._call.overload, args=args, kwargs=kwargs, outputs=outputs))
