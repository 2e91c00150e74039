"""The forward of a custom `autograd.Function`, run again at moved inputs: central differences of what is not in its calls.

A forward may compute in numpy, in a kernel of its own or with numbers that `.item()` made; then the calls that torch ran do
not say what it is a function of. It runs in float64 where it accepts that, else in its own dtype, where differences tell a
few digits only. One that gives other results when it runs again, at the very inputs that it had, tells nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import FunctionCtx

from gradviz.check.arrays import appended, as_array, widened
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.check.judge import Comparison
from gradviz.check.local import Plan
from gradviz.check.parts import joined, parts_of
from gradviz.standin import StandIn, is_kept
from gradviz.symbolic import NoRule, require_time, unit_roundoff

COLUMNS_UP_TO = 64
"""Of arguments of more elements no single column of the Jacobian is looked at, but random directions."""
ELEMENTS_UP_TO = 4096
DIRECTIONS = 4
_STEPS = {True: (2.0**-8, 2.0**-14), False: (2.0**-5, 2.0**-8)}
"""Relative step widths, in float64 and in narrower dtypes."""
_TIGHT = {True: 2.0**-16, False: 2.0**-6}
"""How large the estimated error may be beside the derivative, for something to be claimed."""
_ROUNDINGS = 64
_SMALLEST = 2.0**-6
_NOTHING = 1e-10
_ASIDE = 2.0**-16
_STEPPING = 2.0**-8


class ForwardAgain:
    """The forward of one node.

    Args:
        head: the node, a call of a custom Function.

    Attributes:
        is_wide: whether it runs in float64; else in its own dtype.

    Raises:
        NoRule: it cannot be run again, or does not give what it gave.
    """

    def __init__(self, head: HeadUnderCheck) -> None:
        function = head.function
        if function is None or function.args is None:
            raise NoRule("how forward() was called was not seen")
        for value in function.args:
            if isinstance(value, StandIn) and not is_kept(value):
                raise NoRule(value.reason)
        if None in head.outputs.values():
            raise NoRule("what forward() returned is not known")
        if any(map(_holds_module, function.args)):
            raise NoRule("forward() was handed modules, and running it again may change what they hold")
        self._function = function
        self._args = function.args
        self._values = {place: value for place, value in head.outputs.items() if value is not None}
        self.is_wide = True
        if not self._repeats():
            self.is_wide = False
            if not self._repeats():
                raise NoRule("forward() gives other results when it is run again, at the same inputs")

    @property
    def described(self) -> str:
        dtype = "float64" if self.is_wide else "its own dtype"
        return f"by central differences of forward(), run again in {dtype}"

    def start(self, position: int) -> Tensor:
        """What the argument held that an edge carries, in parts."""
        place = self._function.places.get(position)
        if place is None or not isinstance(self._args[place], Tensor):
            raise NoRule("which argument of forward() this is is not known")
        return parts_of(self._entered(self._args[place]))

    def outputs(self, moved: dict[int, Tensor] | None = None) -> dict[int, Tensor]:
        """Place -> what forward makes, of its arguments or of others by position."""
        require_time()
        args = [self._entered(value) for value in self._args]
        for position, tensor in (moved or {}).items():
            place = self._function.places[position]
            args[place] = joined(tensor, args[place].dtype)
        context = FunctionCtx()
        context.needs_input_grad = tuple(isinstance(value, Tensor) for value in args)  # type: ignore[attr-defined]
        forward = self._function.function.forward
        try:
            with torch.no_grad():
                result = forward(*args) if self._function.has_own_setup else forward(context, *args)
        except Exception as error:  # a user's own code, at inputs of a dtype that it may not expect
            first = (str(error).splitlines() or [""])[0]
            raise NoRule(f"forward() cannot be run again: {type(error).__name__}: {first}") from error
        results = result if isinstance(result, tuple) else (result,)
        if any(place >= len(results) or not isinstance(results[place], Tensor) for place in self._values):
            raise NoRule("forward() returns something else when it is run again")
        return {place: results[place] for place in self._values}

    def along(self, position: int, tangent: Tensor, place: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The derivative of an output along a tangent of one argument, and an estimate of its error.

        Both widths of steps must tell the same: of a function that jumps, as a rounding does, each tells something else.

        Raises:
            NoRule: differences are not accurate at these inputs.
        """
        start = self.start(position)

        def at(distance: float) -> NDArray[np.float64]:
            moved = torch.add(start, tangent.to(start), alpha=distance)
            return as_array(parts_of(self.outputs({position: moved})[place]))

        unit = unit_roundoff(torch.float64 if self.is_wide else start.dtype)
        middle = at(0.0)
        found = [_extrapolated(at, middle, step, unit) for step in _STEPS[self.is_wide]]
        slope, error = min(found, key=lambda one: float(one[1].max(initial=0.0)) if np.isfinite(one[1]).all() else math.inf)
        largest, worst = float(np.abs(slope).max(initial=0.0)), float(error.max(initial=0.0))
        nothing = _NOTHING * float(np.abs(middle).max(initial=0.0))
        (wide, wide_error), (fine, fine_error) = found
        with np.errstate(invalid="ignore"):
            differ = bool((np.abs(wide - fine) > wide_error + fine_error + nothing).any())  # not where one left the domain
        if not math.isfinite(largest) or differ or not worst <= _TIGHT[self.is_wide] * largest + nothing:
            raise NoRule("differences of forward() are not accurate at these inputs")
        return slope, error

    def is_flat(self) -> bool:
        """Whether its results stay where they are while all but the outermost elements of its arguments move a little.

        A rounding stays; that of a quantizer too, which measures its steps off the largest element. Where thousands of
        elements move, some few of them step.
        """
        moved = {position: _a_little_aside(self.start(position)) for position in self._function.places}
        before, after = self.outputs(), self.outputs(moved)
        return all(
            after[place].shape == value.shape and int((after[place] != value).sum()) <= _STEPPING * value.numel()
            for place, value in before.items()
        )

    def _entered(self, value: Any) -> Any:
        if isinstance(value, StandIn) and (elements := value.elements) is not None:
            value = elements
        if isinstance(value, Tensor):
            return widened(value).clone() if self.is_wide else value.detach().clone()
        if type(value) in (list, tuple):
            return type(value)(self._entered(item) for item in value)
        return value

    def _repeats(self) -> bool:
        """Whether it gives what it gave, in float64 or else in its own dtype; float64 may be refused."""
        try:
            again = self.outputs()
        except NoRule:
            if not self.is_wide:
                raise
            return False
        for place, value in self._values.items():
            got, known = again[place], as_array(value)
            wide = widened(value).dtype if self.is_wide else value.dtype
            if got.shape != value.shape or got.dtype != wide:
                return False
            size = np.abs(known).max(initial=0.0, where=np.isfinite(known))
            allowed = (16 * _ROUNDINGS if self.is_wide else 2) * unit_roundoff(value.dtype) * size
            if not np.allclose(as_array(got), known, rtol=0, atol=allowed, equal_nan=True):
                return False
        return True


def check_by_forward(head: HeadUnderCheck, edges: Sequence[EdgeUnderCheck], plan: Plan, reason: str) -> None:
    """Compares autograd's Jacobians with differences of the forward: every column of a small one, else random directions.

    `reason` says why that is needed.
    """
    try:
        forward = ForwardAgain(head)
    except NoRule as missing:
        for edge in edges:
            edge.comparison.doubt(f"{reason}; {missing.reason}")
        return
    for edge in edges:
        try:
            for place in edge.partials:
                _compare(head, forward, edge, place, plan)
            edge.comparison.method = "numeric"
            edge.comparison.step(reason)
            edge.comparison.step(forward.described)
        except NoRule as missing:
            edge.comparison.doubt(f"{reason}; {missing.reason}")


def check_value_by_forward(head: HeadUnderCheck, comparison: Comparison) -> None:
    """Compares what forward returned with what it returns in float64.

    Raises:
        NoRule: it cannot be run again, or only in its own dtype, which would tell nothing.
    """
    forward = ForwardAgain(head)
    if not forward.is_wide:
        raise NoRule("forward() cannot be run again in float64")
    for place, true in forward.outputs().items():
        value = head.outputs[place]
        assert value is not None
        got, exact = as_array(value), as_array(true)
        size = float(np.abs(exact).max(initial=0.0, where=np.isfinite(exact)))
        bound = np.full(got.shape, 16 * _ROUNDINGS * unit_roundoff(value.dtype) * size)
        comparison.elements(got, exact.astype(np.longdouble), bound, what="forward()")
        comparison.checked += got.size
        comparison.total += got.size
    comparison.method = "numeric"
    comparison.step("forward() run again in float64")


def _compare(head: HeadUnderCheck, forward: ForwardAgain, edge: EdgeUnderCheck, place: int, plan: Plan) -> None:
    comparison, partial = edge.comparison, edge.partials[place]
    start = forward.start(edge.position)
    sizes = _sizes(start)
    rounding = _ROUNDINGS * unit_roundoff(comparison.dtype)
    count = math.prod(partial.out_shape)
    comparison.total += count * edge.in_numel
    if edge.in_numel <= COLUMNS_UP_TO and count * edge.in_numel <= ELEMENTS_UP_TO:
        jacobian = as_array(partial.jacobian())
        size = float(np.abs(jacobian).max(initial=0.0, where=np.isfinite(jacobian)))
        for column in np.ndindex(*partial.in_shape):
            tangent = torch.zeros_like(sizes)
            tangent[column] = sizes[column]
            slope, error = (part / float(sizes[column]) for part in forward.along(edge.position, tangent, place))
            bound = 4 * error + rounding * np.maximum(np.abs(slope), _SMALLEST * size) + _NOTHING * size
            got = jacobian[(..., *column)]
            comparison.elements(got, slope.astype(np.longdouble), bound, what=head.backward_name, place=appended(column))
        comparison.checked += count * edge.in_numel
        return
    for _ in range(DIRECTIONS):
        tangent = plan.cotangent(partial.in_shape, torch.float64) * sizes.cpu()
        slope, error = forward.along(edge.position, tangent, place)
        weights = plan.cotangent(partial.out_shape, comparison.dtype)
        answer = as_array(partial.vjp(weights)) * as_array(tangent)
        weight = as_array(weights)
        size = math.sqrt(float(np.square(answer).sum())) + math.sqrt(float(np.square(weight * slope).sum()))
        allowed = 4 * float((np.abs(weight) * error).sum()) + rounding * size
        comparison.element(
            None, float(answer.sum()), float((weight * slope).sum()), allowed, what=head.backward_name, of="slope"
        )
    comparison.step(f"along {DIRECTIONS} random directions")


def _holds_module(value: Any) -> bool:
    """Whether an argument is a module, a method of one, or a list with one."""
    items = value if isinstance(value, (list, tuple)) else [value]
    return any(isinstance(getattr(item, "__self__", item), torch.nn.Module) for item in items)


def _a_little_aside(start: Tensor) -> Tensor:
    """Each element a little off, but for the largest and the smallest of several."""
    moved = (start + _ASIDE * _sizes(start).to(start)).contiguous()
    if start.numel() > 2:
        for outermost in (start.argmax(), start.argmin()):
            moved.view(-1)[outermost] = start.reshape(-1)[outermost]
    return moved


def _sizes(start: Tensor) -> Tensor:
    """How far each element is moved in units of: its own size, and not much less than that of the largest."""
    size = start.detach().abs().to(torch.float64)
    largest = float(size.max()) if size.numel() else 0.0
    return size.clamp(min=_SMALLEST * largest) if largest and math.isfinite(largest) else torch.ones_like(size)


def _extrapolated(
    at: Callable[[float], NDArray[np.float64]], middle: NDArray[np.float64], step: float, unit: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Richardson's extrapolation from two pairs of widths; the error from how far they are apart, and from rounding."""

    def difference(width: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        right, left = at(width), at(-width)
        return (right - left) / (2 * width), (right + left - 2 * middle) / (2 * width)

    with np.errstate(all="ignore"):
        (wide, bend), (half, half_bend), (quarter, _) = (difference(step / 2**halving) for halving in range(3))
        first, second = ((4 * narrow - broad) / 3 for broad, narrow in pairwise((wide, half, quarter)))
        rounding = 16 * unit * float(np.abs(middle).max(initial=0.0)) / step
        kink = np.maximum(np.abs(half_bend) - 0.75 * np.abs(bend) - rounding, 0)  # what is smooth bends half as much
        error = np.abs(second - first).max(initial=0.0) + rounding + kink
    return second, error
