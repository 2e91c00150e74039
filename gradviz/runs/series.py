"""`Run` -> how each number moved from step to step: the rows of tables and plots, each of one rank or of all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gradviz.runs.notes import Step
from gradviz.runs.run import Run, gradient_norm


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One number at each recorded step.

    Attributes:
        name: of what.
        rank: whose; None for all ranks together.
        steps: the numbers of the recorded steps.
        values: at each of them; None where there was none.
    """

    name: str
    rank: int | None
    steps: tuple[int, ...]
    values: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        """The finite values in their order."""
        return [value for value in self.values if value is not None and math.isfinite(value)]

    @property
    def moved(self) -> float:
        """How far it moved: the logarithm of the largest over the smallest value; infinite where one is not finite."""
        if any(value is not None and not math.isfinite(value) for value in self.values):
            return math.inf
        above = [value for value in self.known if value > 0]
        return math.log(max(above) / min(above)) if above else 0.0


def by_step(run: Run) -> dict[int, list[Step]]:
    """Number of a recorded step -> what each rank wrote of it; of a step that was made again, the last."""
    found: dict[int, dict[int, Step]] = {}
    for step in run.steps:
        found.setdefault(step.step, {})[step.rank] = step
    return {number: list(ranks.values()) for number, ranks in found.items()}


def loss_values(run: Run) -> list[Series]:
    """What each line called `backward()` on, of each rank."""
    lines = dict.fromkeys(note.source for step in run.steps for note in step.losses if note.value is not None)
    return [_series(run, line, rank, partial(_loss, source=line)) for line in lines for rank in run.ranks]


def gradient_norms(run: Run) -> list[Series]:
    """The norm of the whole gradient, of each rank; where parameters are split over ranks, of all ranks together."""
    split = any(note.shard for step in run.steps for note in step.parameters)
    if split:
        return [_series(run, "gradient", None, gradient_norm)]
    return [_series(run, "gradient", rank, gradient_norm) for rank in run.ranks]


def parameter_gradients(run: Run) -> list[Series]:
    """The norm of each parameter's gradient, all ranks together."""
    names = dict.fromkeys(note.name for step in run.steps for note in step.parameters)
    return [_series(run, name, None, partial(gradient_norm, name=name)) for name in names]


def module_gains(run: Run) -> list[Series]:
    """The gain of each module, of each rank: its own samples decide it. Modules that never have one are left out."""
    paths = dict.fromkeys(note.path for step in run.steps for note in step.modules if note.gain is not None)
    return [_series(run, path, rank, partial(_gain, path=path)) for path in paths for rank in run.ranks]


def dead_shares(run: Run) -> list[Series]:
    """The share of dead units of each ReLU, of each rank."""
    names = dict.fromkeys(note.name for step in run.steps for note in step.units)
    return [_series(run, name, rank, partial(_dead, name=name)) for name in names for rank in run.ranks]


def _loss(steps: list[Step], source: str) -> float | None:
    return next((note.value for step in steps for note in step.losses if note.source == source), None)


def _gain(steps: list[Step], path: str) -> float | None:
    return next((note.gain for step in steps for note in step.modules if note.path == path), None)


def _dead(steps: list[Step], name: str) -> float | None:
    return next((note.dead / note.units for step in steps for note in step.units if note.name == name), None)


def _series(run: Run, name: str, rank: int | None, read: Callable[[list[Step]], float | None]) -> Series:
    recorded = by_step(run)
    chosen = [[step for step in steps if rank in (None, step.rank)] for steps in recorded.values()]
    return Series(name=name, rank=rank, steps=tuple(recorded), values=tuple([read(steps) for steps in chosen]))
