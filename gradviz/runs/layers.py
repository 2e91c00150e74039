"""`Run` -> findings on layers: units that die, modules that saturate, gradients that vanish or jump."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from gradviz.diagnose import Finding
from gradviz.diagnose.dead_units import DEAD_SHARE, MIN_UNITS
from gradviz.diagnose.depth import APART
from gradviz.runs.notes import UnitsNote
from gradviz.runs.run import Run, gradient_norm
from gradviz.runs.series import by_step, module_gains
from gradviz.runs.units import LASTING
from gradviz.view.notation import number_text

JUMP = 100.0
"""Gradient norms of a step may be several times those before; a batch that is odd makes them ten times as large."""
DIED_SHARE = 0.3
"""Of a layer of `FEW_UNITS` or more; that they were dead at the same four recorded steps is no chance."""
FEW_UNITS = 10
SATURATED = 1e-6
"""A sigmoid that is sure of its answer has a slope of 1e-4; where this is left of its first gain, nothing is learned."""
EARLIER = 3
"""How many recorded steps there must be before one can stand out."""
SHOWN = 3


def dead_units(run: Run) -> Iterator[Finding]:
    """ReLUs that are dead at the last step on every rank, or of which many units died on the way and stay dead."""
    steps = list(by_step(run).values())
    last = [step for step in steps[-1] if step.forwards] if steps else []
    for name in dict.fromkeys(note.name for step in last for note in step.units):
        notes = [note for step in last for note in step.units if note.name == name]
        seen = [note for of_step in steps for step in of_step for note in step.units if note.name == name]
        least, first = min(notes, key=lambda note: note.dead / note.units), seen[0]
        lasting = min(note.lasting for note in notes)
        died = len(seen) >= LASTING * len(notes) and least.units >= FEW_UNITS and _have_died(lasting, first, least)
        if len(notes) < len(last) or not (died or _is_dead(least)):
            continue
        times = min(LASTING, len(seen) // len(notes))
        alike = "" if least.dead == lasting else f", {lasting} of them at the last {times} recorded steps"
        yield Finding(
            kind="dead-relu",
            severity="warning",
            message=f"{least.dead} of {least.units} units of this relu are zero for every sample{alike}; "
            f"{first.dead} were so at the first recorded step",
            hint="lower the learning rate, look at the biases and the scale of the input, or use leaky_relu or gelu",
            source=least.source,
            module=least.module,
            numbers={"dead units": least.dead, "units": least.units, "dead at first": first.dead},
            step=last[0].step,
        )


def _is_dead(note: UnitsNote) -> bool:
    return note.dead == note.units or (note.dead >= DEAD_SHARE * note.units and note.units >= MIN_UNITS)


def _have_died(lasting: int, first: UnitsNote, last: UnitsNote) -> bool:
    return lasting >= DIED_SHARE * last.units and lasting - first.dead >= 0.8 * DIED_SHARE * last.units


def gradient_jump(run: Run) -> Iterator[Finding]:
    """The first step whose gradient is far larger than those before."""
    earlier: list[float] = []
    for number, steps in by_step(run).items():
        norm = gradient_norm(steps)
        if norm is None or not math.isfinite(norm):
            continue
        usual = statistics.median(earlier) if len(earlier) >= EARLIER else math.inf
        if norm > JUMP * usual > 0:
            worst = max(
                (note.name for note in steps[0].parameters), key=lambda name: _number(gradient_norm(steps, name)), default=""
            )
            yield Finding(
                kind="gradient-jump",
                severity="warning",
                message=f"the gradient is {number_text(norm / usual, 3)} times as large as at the steps before; "
                f"largest at {worst}",
                hint="look at the inputs of this step; clip the gradient norm, or lower the learning rate",
                module=worst.rpartition(".")[0],
                numbers={"norm": norm, "usual norm": usual},
                step=number,
            )
            return
        earlier.append(norm)


def vanishing(run: Run) -> Iterator[Finding]:
    """A weight whose gradient is nothing beside that of one behind it, at each of the last recorded steps."""
    steps = [of_step for of_step in by_step(run).values() if any(step.parameters for step in of_step)][-SHOWN:]
    found: list[tuple[str, str, float]] = []
    for of_step in steps:
        names = dict.fromkeys(note.name for step in of_step for note in step.parameters if len(note.shape) >= 2)
        norms = {name: norm for name in names if (norm := gradient_norm(of_step, name)) and math.isfinite(norm)}
        if len(norms) < 2:
            return
        small, large = min(norms, key=norms.__getitem__), max(norms, key=norms.__getitem__)
        order = list(norms)
        if norms[small] >= APART * norms[large] or order.index(small) > order.index(large):
            return
        found.append((small, large, norms[small] / norms[large]))
    if found:
        small, large, ratio = found[-1]
        yield Finding(
            kind="vanishing-gradient",
            severity="warning",
            message=f"the gradient of {small} is {ratio:.2g} times that of {large}",
            hint="gradviz.trace(...).diagnose() says which edges cost most; use residual connections, normalisation, "
            "relu or gelu where there is sigmoid or tanh",
            module=small.rpartition(".")[0],
            numbers={"ratio": ratio},
            step=steps[-1][0].step,
        )


def saturated(run: Run) -> Iterator[Finding]:
    """The modules that at each of the last recorded steps pass on next to nothing of what they passed on at the first."""
    rectifying = {note.module for step in run.steps for note in step.units}  # of these `dead-relu` tells
    for series in module_gains(run):
        gains = series.known
        if len(gains) <= SHOWN or series.name in rectifying:
            continue
        if not all(gain is not None and gain < SATURATED * gains[0] for gain in series.values[-SHOWN:]):
            continue
        yield Finding(
            kind="saturated-module",
            severity="warning",
            message=f"of the gradient that comes back to it module {series.name} passes on {gains[-1]:.2g}; at the first "
            f"recorded step {gains[0]:.2g}",
            hint="it is saturated: lower the learning rate, normalise what goes into it, or use relu or gelu",
            module=series.name,
            numbers={"gain": gains[-1], "gain at first": gains[0]},
            step=series.steps[-1],
            rank=run.told(series.rank),
        )


def _number(norm: float | None) -> float:
    return -1.0 if norm is None else math.inf if math.isnan(norm) else norm
