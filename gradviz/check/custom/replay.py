"""Recorded calls run again in float64 with torch's own formulas: the reference for every element of a composed function.

Rounding is bounded by trial: the same calls are run with every value and every cotangent on the way moved by random
relative errors of the size that the working dtype makes (see `noise.py`). How far the result moves then says how far a
result computed in that dtype may be from the true one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from gradviz.check.arrays import widened
from gradviz.check.custom.backward_calls import BackwardCalls
from gradviz.check.custom.fused import in_steps
from gradviz.check.custom.noise import Noise, RangeEnds
from gradviz.check.parts import joined, parts_of
from gradviz.opcall import SHAPE_READING, OpCall
from gradviz.rerun import run_call
from gradviz.standin import StandIn
from gradviz.symbolic import NoRule, require_time, unit_roundoff

_SMALLEST_MOVE = 2.0**-40
_BESIDE = 2.0**-36
_JUMP = 2.0**-10
_ROUNDINGS_BESIDE = 4
_TRIALS = 4
_SIDES = (1, -1)
_FEW = 64
"""Of more elements a step as long as all of theirs together tells no jump from a slope."""


class Replay:
    """`outputs` as functions of `inputs`, by torch's own formulas in float64.

    Args:
        calls: what ran, in order; data flow is identity of the snapshots.
        inputs: position -> snapshot to differentiate for.
        outputs: place -> snapshot among the calls' outputs.
        dtype: the working dtype, which rounding is bounded for.
        seed: of the random moves.

    Raises:
        NoRule: an output was not made by these calls, or (from the methods) a call cannot be run again.
    """

    def __init__(
        self,
        calls: Sequence[OpCall],
        inputs: Mapping[int, Tensor],
        outputs: Mapping[int, Tensor],
        dtype: torch.dtype,
        seed: int = 0,
    ) -> None:
        self._calls = calls
        self._inputs = dict(inputs)
        self._outputs = dict(outputs)
        self.unit = unit_roundoff(dtype)
        self._random = torch.Generator().manual_seed(seed)
        self._ends: RangeEnds | None = None
        known = {id(tensor) for call in calls for tensor in call.outputs} | {id(tensor) for tensor in inputs.values()}
        for tensor in outputs.values():
            if id(tensor) not in known:
                raise NoRule("what forward() returned was not made by its recorded calls")

    def with_range_ends(self) -> tuple[Replay, RangeEnds]:
        """The same, whose bounds say too what the ends of a dtype's range may do; and which of them its trials have met."""
        other, ends = copy.copy(self), RangeEnds(self.values())
        other._ends = ends
        return other, ends

    def run(
        self, *, move: float = 0.0, shift: Mapping[int, Tensor] | None = None
    ) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """(inputs, outputs) of one run in float64, connected by autograd.

        Args:
            move: relative size of the random errors made on the way.
            shift: position -> what is added to that input.
        """
        leaves: dict[int, Tensor] = {}
        values: dict[int, Tensor] = {}
        noise = self.noise(move)
        with torch.enable_grad():
            for position, snapshot in self._inputs.items():
                start = widened(snapshot).cpu()
                leaves[position] = (start if shift is None else start + joined(shift[position], start.dtype)).clone()
                leaves[position].requires_grad_()
                values[id(snapshot)] = noise.entered(leaves[position], snapshot.dtype)
            run_again(self._calls, values, noise)
        outputs = {
            place: values[id(snapshot)] if id(snapshot) in values else widened(snapshot).cpu()
            for place, snapshot in self._outputs.items()
        }
        return leaves, outputs

    def values(self, *, move: float = 0.0) -> dict[int, Tensor]:
        """All values of one run in float64, by the id of the snapshot that each stands for."""
        noise = self.noise(move)
        with torch.no_grad():
            values = {id(one): noise.entered(widened(one).cpu(), one.dtype) for one in self._inputs.values()}
            run_again(self._calls, values, noise)
        return values

    def noise(self, move: float) -> Noise:
        """Random errors of that relative size, for a result in the working dtype."""
        return Noise(self.unit, move, self._random, self._ends if move else None)

    def vjp(
        self, cotangents: Mapping[int, Tensor], *, move: float = 0.0, shift: Mapping[int, Tensor] | None = None
    ) -> dict[int, Tensor]:
        """The VJP with respect to each input, for cotangents by place of output; of complex ones the parts, to parts."""
        require_time()
        leaves, outputs = self.run(move=move, shift=shift)
        pairs = [(outputs[place], cotangent) for place, cotangent in cotangents.items() if outputs[place].requires_grad]
        if not pairs:
            return {position: parts_of(torch.zeros_like(leaf)) for position, leaf in leaves.items()}
        roots, weights = zip(*pairs, strict=True)
        started = [joined(widened(weight).cpu(), root.dtype) for root, weight in zip(roots, weights, strict=True)]
        try:
            found = torch.autograd.grad(roots, list(leaves.values()), started, allow_unused=True)
        except RuntimeError as error:
            raise NoRule(f"torch cannot differentiate what forward() ran: {str(error).splitlines()[0]}") from error
        return {
            position: parts_of(torch.zeros_like(leaf) if gradient is None else gradient.detach())
            for (position, leaf), gradient in zip(leaves.items(), found, strict=True)
        }

    def bounded_vjp(self, cotangents: Mapping[int, Tensor], *, trials: int = 6) -> dict[int, tuple[Tensor, Tensor]]:
        """The VJP and, for each of its elements, how far rounding in the working dtype may move it."""
        found = self._bounded(lambda move: list(self.vjp(cotangents, move=move).values()), trials)
        return dict(zip(self._inputs, found, strict=True))

    def bounded_formula(self, backward: BackwardCalls, cotangent: Tensor, *, trials: int) -> list[tuple[Tensor, Tensor]]:
        """What the calls of a backward pass make of the cotangent in float64, along each edge, and its rounding.

        Of complex tensors the parts.
        """
        return self._bounded(lambda move: self._formula(backward, cotangent, move), trials)

    def formula(self, backward: BackwardCalls, cotangent: Tensor) -> list[Tensor]:
        """The same without its rounding."""
        return self._formula(backward, cotangent, 0.0)

    def _bounded(self, run: Callable[[float], list[Tensor]], trials: int) -> list[tuple[Tensor, Tensor]]:
        """What a run gives, and how far rounding may move it; the run is told how large the errors in it are to be."""
        exact = run(0.0)
        move = max(self.unit, _SMALLEST_MOVE)
        spread = [torch.zeros_like(one) for one in exact]
        for _ in range(trials):
            spread = [more + (one - true) ** 2 for more, one, true in zip(spread, run(move), exact, strict=True)]
        scale = 32 * self.unit / move
        return [
            (one, scale * (more / trials).sqrt() + 8 * self.unit * one.abs())
            for one, more in zip(exact, spread, strict=True)
        ]

    def _formula(self, backward: BackwardCalls, cotangent: Tensor, move: float) -> list[Tensor]:
        noise = self.noise(move)
        with torch.no_grad():
            values = self.values(move=move)
            values |= {id(one): noise.entered(widened(one).cpu(), one.dtype) for one in backward.others}
            values[id(backward.cotangent)] = widened(cotangent).cpu()
            run_again(backward.calls, values, noise)
        return [parts_of(values[id(one)] if id(one) in values else widened(one).cpu()) for one in backward.answers]

    def range_beside(self, cotangents: Mapping[int, Tensor]) -> dict[int, tuple[Tensor, Tensor]]:
        """The smallest and largest VJP a little beside the inputs, on random sides of them: they differ on a kink."""
        steps = [{at: self._step_beside(one) for at, one in self._inputs.items()} for _ in range(_TRIALS)]
        found = [answer for step in steps for answer in self._on_both_sides(cotangents, step)]
        return {position: _extremes([one[position] for one in found]) for position in self._inputs}

    def range_toward(self, cotangents: Mapping[int, Tensor], position: int, sides: Tensor) -> tuple[Tensor, Tensor]:
        """The same for one input, whose elements move to these sides (1 or -1), and then to the others."""
        step = {at: torch.zeros_like(parts_of(widened(one).cpu())) for at, one in self._inputs.items()}
        step[position] = self._step_beside(self._inputs[position]).abs() * sides
        return _extremes([one[position] for one in self._on_both_sides(cotangents, step)])

    def _on_both_sides(self, cotangents: Mapping[int, Tensor], step: Mapping[int, Tensor]) -> list[dict[int, Tensor]]:
        """So that every element is seen from both of its sides."""
        return [self.vjp(cotangents, shift={at: sign * moved for at, moved in step.items()}) for sign in _SIDES]

    def ties_beside(self, cotangents: Mapping[int, Tensor]) -> dict[int, tuple[Tensor, float, float]]:
        """Which elements of the VJP jump right beside the inputs, and the smallest and largest sum of all of them there.

        Moved by so little, only what lies on a kink changes. All elements moved alike, what is tied stays tied: there each
        choice of a derivative of a maximum sums to 1.
        """
        steps = [{at: self._step_beside(one, roundings=0) for at, one in self._inputs.items()} for _ in range(_TRIALS)]
        steps[0] = {at: torch.full_like(moved, float(moved.abs().sum())) for at, moved in steps[0].items()}
        found = [answer for step in steps for answer in self._on_both_sides(cotangents, step)]
        told, short = {}, 0 if all(one.numel() <= _FEW for one in self._inputs.values()) else len(_SIDES)
        for position in self._inputs:
            answers = torch.stack([one[position] for one in found])
            (low, high), sums = _extremes(list(answers[short:])), answers.reshape(len(found), -1).sum(1)
            jumps = high - low > _JUMP * torch.maximum(low.abs(), high.abs())
            told[position] = (jumps, float(sums.min()), float(sums.max()))
        return told

    def _step_beside(self, tensor: Tensor, *, roundings: float = _ROUNDINGS_BESIDE) -> Tensor:
        start = parts_of(widened(tensor).cpu()).abs()
        mean = float(start.mean()) if start.numel() else 0.0
        size = mean or _BESIDE  # of zeros alone; all others move in proportion, as small as they may be
        sides = torch.rand(start.shape, generator=self._random, dtype=torch.float64) - 0.5
        own = max(_BESIDE, roundings * self.unit) * start  # rounding may have moved the kink itself
        step: Tensor = (own + _BESIDE * size) * sides.sign()
        return step


def _extremes(answers: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The smallest and the largest of each element."""
    stacked = torch.stack(list(answers))
    return stacked.amin(0), stacked.amax(0)


def run_again(calls: Sequence[OpCall], values: dict[int, Tensor], noise: Noise) -> None:
    """Runs calls in float64 and adds what they make to `values`, which has what is not as it was recorded.

    Raises:
        NoRule: a call that depends on these values cannot be run again, or reads memory that was written to through a view.
    """
    made_here = [output for call in calls for output in call.outputs if output is not None]
    storages, made_ids = {_storage(output) for output in made_here}, {id(output) for output in made_here}
    for call in calls:
        arguments = [argument.tensor for argument in call.tensor_arguments()]
        if call.op in SHAPE_READING or not any(id(tensor) in values for tensor in arguments):
            continue  # nothing moves it: what it made is known, random numbers too
        for tensor in arguments:
            is_known = id(tensor) in values or id(tensor) in made_ids
            if not is_known and tensor.dtype.is_floating_point and _storage(tensor) in storages:
                raise NoRule(f"an argument of {call.op} was changed through a view of it")
        items = [values[id(tensor)] if id(tensor) in values else widened(tensor).cpu() for tensor in arguments]
        given = noise.arguments(call, items)
        apart = in_steps(call, given, partial(noise.within, call)) if noise.is_any else None
        for place, result in enumerate(run_call(call, given, widen=True) if apart is None else apart):
            if result is not None and place < len(call.outputs) and (made := call.outputs[place]) is not None:
                values[id(made)] = noise.result(call, place, result)


def _storage(tensor: Tensor) -> int:
    """What tells memory from other memory; of tensors without elements none is like another."""
    odd = tensor.layout is not torch.strided or tensor.device.type == "meta" or isinstance(tensor, StandIn)
    if odd or not tensor.numel():
        return -id(tensor)
    return tensor.untyped_storage().data_ptr()
