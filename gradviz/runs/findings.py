"""`Run` -> what went wrong: each analysis one function, run -> findings, which say the step and the rank.

    error      not-finite-value, not-finite-gradient, ranks-differ under DistributedDataParallel
    warning    ranks-differ, dead-relu, gradient-jump, vanishing-gradient, saturated-module, unused-parameter
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from gradviz.diagnose import Diagnosis, Finding
from gradviz.diagnose.dead_units import DEAD_SHARE, MIN_UNITS
from gradviz.diagnose.depth import APART
from gradviz.diagnose.finding import Numbers
from gradviz.runs.notes import Origin, ParameterNote, Step
from gradviz.runs.run import Run, gradient_norm
from gradviz.runs.series import by_step, module_gains

SAME = 1e-5
"""Copies of a gradient after an all-reduce are the same bits; their norms may be summed in another order."""
JUMP = 100.0
"""Gradient norms of a step may be several times those before; a batch that is odd makes them ten times as large."""
SATURATED = 1e-6
"""A sigmoid that is sure of its answer has a slope of 1e-4; where this is left of its first gain, nothing is learned."""
EARLIER = 3
"""How many recorded steps there must be before one can stand out."""
SHOWN = 3


def diagnose_run(run: Run) -> Diagnosis:
    """What went wrong in a training run; see `Run.diagnose`."""
    finders = (_not_finite, _ranks_differ, _dead_units, _gradient_jump, _vanishing, _saturated, _unused)
    return Diagnosis([finding for finder in finders for finding in finder(run)])


def _not_finite(run: Run) -> Iterator[Finding]:
    """The first step at which something is not finite; what comes later comes of it."""
    for steps in by_step(run).values():
        values = {step.rank: origin for step in steps for origin in step.origins if origin.what == "value"}
        spoilt = [step for step in steps if any(map(_is_spoilt, step.parameters))]
        gradients = {step.rank: origin for step in spoilt for origin in step.origins if origin.what == "gradient"}
        if values or spoilt:
            yield from _told(run, steps, values or gradients, "value" if values else "gradient", spoilt)
            return


def _told(run: Run, steps: list[Step], origins: dict[int, Origin], what: str, spoilt: list[Step]) -> Iterator[Finding]:
    number, others = steps[0].step, len(steps) - len(origins)
    names = [note.name for note in (spoilt[0].parameters if spoilt else ()) if _is_spoilt(note)]
    broken = list(dict.fromkeys(note.name for step in steps for note in step.parameters if _is_broken(note.weight)))
    numbers: Numbers = {"ranks with it": len(origins) or len(spoilt), "ranks": len(steps)}
    if spoilt:
        numbers["parameters whose gradient is not finite"] = len(names)
    if not origins:
        message = f"the gradient that the optimizer got is not finite at {_names(names)}, although all in the model was"
        yield Finding(
            kind="not-finite-gradient",
            severity="error",
            message=message,
            hint="look at what happens to gradients after the backward pass: clipping, unscaling, communication",
            numbers=numbers,
            step=number,
        )
    for rank, origin in origins.items():
        only = f"only here, of {len(steps)} ranks: " if others else ""
        spread = f"; after it the gradient of {_names(names)} is not finite on every rank" if others and spoilt else ""
        yield Finding(
            kind=f"not-finite-{what}",
            severity="error",
            message=f"{only}{_origin_text(origin, broken)}{spread}",
            hint=_hint(origin, broken),
            source=origin.source,
            module=origin.module,
            numbers=numbers,
            step=number,
            rank=rank if len(run.headers) > 1 else None,
        )


def _origin_text(origin: Origin, broken: list[str]) -> str:
    """What happened. `broken`: the parameters that hold NaN or infinity already."""
    match origin.what, origin.made:
        case "value", True:
            return f"{origin.op} made {origin.number} of finite numbers"
        case "value", _ if broken:
            return f"an update since the last recorded step left NaN in {_names(broken)}"
        case "value", _:
            return f"NaN came in with the inputs; {origin.op} was the first to take it"
        case _, True:
            return f"on the way back {origin.op} made {origin.number} of finite cotangents"
    return f"cotangents that are not finite came back from the loss; {origin.op} was the first to take them"


def _hint(origin: Origin, broken: list[str]) -> str:
    if origin.made:
        return "trace a step with these inputs: gradviz.trace(...).diagnose() names the numbers that made it"
    if broken:
        return "lower the learning rate, or clip the gradient norm; a smaller every= tells the step at which it began"
    if origin.what == "value":
        return "look at the inputs of this step: a broken file, a division in the preprocessing"
    return "look at the loss: log of 0, a division by 0, an overflow"


def _ranks_differ(run: Run) -> Iterator[Finding]:
    """The first step at which processes that hold the same piece of a parameter do not agree on it."""
    reduced = run.headers[0].parallel == "DistributedDataParallel"
    for number, steps in by_step(run).items():
        for what in ("weight", "gradient"):
            pieces: dict[tuple[str, tuple[int, ...]], dict[int, float]] = {}
            for step in steps:
                for note in step.parameters:
                    pieces.setdefault((note.name, note.shard), {})[step.rank] = _norm(note, what)
            apart = {name: norms for (name, _), norms in pieces.items() if not _alike(list(norms.values()))}
            if apart:
                name, norms = max(apart.items(), key=lambda item: _spread(item[1]))
                more = f", nor are those of {len(apart) - 1} more parameters" if len(apart) > 1 else ""
                why = "after the all-reduce it must be" if what == "gradient" else "the ranks do not train one model"
                yield Finding(
                    kind="ranks-differ",
                    severity="error" if reduced else "warning",
                    message=f"the {what} of {name} is not the same on all ranks{more}: {why}",
                    hint=_DIFFER[what] + ("" if reduced else "; fine where each rank is to train a part of its own"),
                    module=name.rpartition(".")[0],
                    numbers={f"norm on rank {rank}": norm for rank, norm in norms.items()},
                    step=number,
                    rank=_odd_one(norms),
                )
                return


_DIFFER = {
    "weight": "start from the same weights: wrap the model before training, and load checkpoints on every rank",
    "gradient": "call the wrapped model, not its .module; leave no_sync() before the last backward pass of a step; use "
    "DistributedDataParallel at all",
}


def _dead_units(run: Run) -> Iterator[Finding]:
    """ReLUs that are dead at the last step on every rank."""
    steps = list(by_step(run).values())
    last = [step for step in steps[-1] if step.forwards] if steps else []
    for name in dict.fromkeys(note.name for step in last for note in step.units):
        notes = [note for step in last for note in step.units if note.name == name]
        least = min(notes, key=lambda note: note.dead / note.units)
        if len(notes) < len(last) or least.dead < DEAD_SHARE * least.units:
            continue
        if least.dead < least.units and least.units < MIN_UNITS:
            continue
        first = next(note for of_step in steps for step in of_step for note in step.units if note.name == name)
        yield Finding(
            kind="dead-relu",
            severity="warning",
            message=f"{least.dead} of {least.units} units of this relu are zero for every sample; at the first recorded "
            f"step {first.dead} were",
            hint="lower the learning rate, look at the biases and the scale of the input, or use leaky_relu or gelu",
            source=least.source,
            module=least.module,
            numbers={"dead units": least.dead, "units": least.units, "dead at first": first.dead},
            step=last[0].step,
        )


def _gradient_jump(run: Run) -> Iterator[Finding]:
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
                message=f"the gradient is {norm / usual:.0f} times as large as at the steps before; largest at {worst}",
                hint="look at the inputs of this step; clip the gradient norm, or lower the learning rate",
                module=worst.rpartition(".")[0],
                numbers={"norm": norm, "usual norm": usual},
                step=number,
            )
            return
        earlier.append(norm)


def _vanishing(run: Run) -> Iterator[Finding]:
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
            hint="gradviz.trace(...).diagnose() says which edges cost most; use relu or gelu in place of sigmoid or tanh, "
            "residual connections, normalisation",
            module=small.rpartition(".")[0],
            numbers={"ratio": ratio},
            step=steps[-1][0].step,
        )


def _saturated(run: Run) -> Iterator[Finding]:
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
            rank=series.rank if len(run.headers) > 1 else None,
        )


def _unused(run: Run) -> Iterator[Finding]:
    """Parameters that the optimizer holds and that never had a gradient."""
    notes = [note for step in run.steps if step.updated for note in step.parameters]
    reached = {note.name for note in notes if note.gradient is not None}
    names = [name for name in dict.fromkeys(note.name for note in notes) if name not in reached]
    if names:
        yield Finding(
            kind="unused-parameter",
            severity="warning",
            message=f"{_names(names)} had no gradient at any recorded step, yet an optimizer holds "
            f"{'it' if len(names) == 1 else 'them'}",
            hint="use it in forward, or leave it out of the optimizer",
            module=names[0].rpartition(".")[0],
            numbers={"parameters": len(names)},
        )


def _is_spoilt(note: ParameterNote) -> bool:
    return _is_broken(note.gradient)


def _is_broken(norm: float | None) -> bool:
    return norm is not None and not math.isfinite(norm)


def _norm(note: ParameterNote, what: str) -> float:
    norm = note.gradient if what == "gradient" else note.weight
    return -1.0 if norm is None else math.nan if _is_broken(norm) else norm


def _alike(norms: list[float]) -> bool:
    if any(map(math.isnan, norms)):
        return all(map(math.isnan, norms))
    return max(norms) - min(norms) <= SAME * max(map(abs, norms))


def _spread(norms: dict[int, float]) -> float:
    known = [norm for norm in norms.values() if math.isfinite(norm)]
    return math.inf if len(known) < len(norms) else (max(known) - min(known)) / (max(map(abs, known)) or 1.0)


def _odd_one(norms: dict[int, float]) -> int | None:
    """The rank that stands alone; None of two, of which either may be wrong, unless one has NaN."""
    broken = [rank for rank, norm in norms.items() if not math.isfinite(norm)]
    if len(broken) == 1:
        return broken[0]
    if len(norms) < 3 or broken:
        return None
    middle = statistics.median(norms.values())
    return max(norms, key=lambda rank: abs(norms[rank] - middle))


def _number(norm: float | None) -> float:
    return -1.0 if norm is None else math.inf if math.isnan(norm) else norm


def _names(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
