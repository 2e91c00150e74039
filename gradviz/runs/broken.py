"""`Run` -> findings on numbers that are not finite, and on ranks that do not agree."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from gradviz.diagnose import Finding
from gradviz.diagnose.finding import Numbers, listed
from gradviz.runs.notes import LossNote, Origin, ParameterNote, Step
from gradviz.runs.run import Run
from gradviz.runs.series import by_step
from gradviz.runs.weights import is_spoilt
from gradviz.view.notation import number_text

SAME = 1e-5
"""Copies of a gradient after an all-reduce are the same bits; their norms may be summed in another order."""


def not_finite(run: Run) -> Iterator[Finding]:
    """The first step at which something is not finite; what comes later comes of it."""
    for steps in by_step(run).values():
        values = {step.rank: origin for step in steps for origin in step.origins if origin.what == "value"}
        spoilt = [step for step in steps if any(map(_is_spoilt, step.parameters))]
        lost = [step for step in steps if any(map(_is_nan, step.losses))]
        gradients = {one.rank: origin for one in (*spoilt, *lost) for origin in one.origins if origin.what == "gradient"}
        if values or spoilt or lost:
            yield from _told(run, steps, values or gradients, "value" if values else "gradient", spoilt)
            return
    yield from _after_the_last(run)


def _after_the_last(run: Run) -> Iterator[Finding]:
    """What no recorded step shows: at the end parameters hold NaN."""
    if names := list(dict.fromkeys(name for end in run.ends for name in end.broken)):
        last = run.steps[-1].step if run.steps else None
        since = "" if last is None else f" after step {last}, the last that was recorded"
        yield Finding(
            kind="not-finite-value",
            severity="error",
            message=f"at the end {listed(names)} {'holds' if len(names) == 1 else 'hold'} NaN or infinity: it came{since}",
            hint="a smaller every= tells the step at which it began, and the call that made it or took it first",
            module=names[0].rpartition(".")[0],
            numbers={"parameters that are not finite": len(names)},
            step=last,
        )


def _told(run: Run, steps: list[Step], origins: dict[int, Origin], what: str, spoilt: list[Step]) -> Iterator[Finding]:
    others = len(steps) - len(origins)
    names = [note.name for note in (spoilt[0].parameters if spoilt else ()) if _is_spoilt(note)]
    first = next(iter(by_step(run).values()))
    is_first = steps[0].step == first[0].step
    broken = _nan_weights(steps) if is_first else _broken_since(first, steps)
    numbers: Numbers = {"ranks with it": len(origins) or len(spoilt), "ranks": len(steps)} if len(run.headers) > 1 else {}
    if spoilt:
        numbers["parameters whose gradient is not finite"] = len(names)
    if not origins:
        yield _of_gradients(names, numbers, steps[0].step) if spoilt else _of_loss_alone(steps, numbers)
    for rank, origin in origins.items():
        only = f"only here, of {len(steps)} ranks: " if others else ""
        ranks = "every rank" if len(spoilt) == len(steps) else f"{len(spoilt)} of {len(steps)} ranks"
        spread = f"; after it the gradient of {listed(names)} is not finite on {ranks}" if others and spoilt else ""
        yield Finding(
            kind=f"not-finite-{what}",
            severity="error",
            message=f"{only}{_origin_text(origin, broken, is_first)}{spread}{_loss_text(origin, steps, rank)}",
            hint=_hint(origin, broken, is_first),
            source=origin.source,
            module=origin.module,
            numbers=numbers,
            step=steps[0].step,
            rank=run.told(rank),
        )


def _of_gradients(names: list[str], numbers: Numbers, step: int) -> Finding:
    """Gradients that were spoilt after the backward pass."""
    return Finding(
        kind="not-finite-gradient",
        severity="error",
        message=f"the gradient that the optimizer got is not finite at {listed(names)}, although all in the model was",
        hint="look at what happens to gradients after the backward pass: clipping, unscaling, communication",
        numbers=numbers,
        step=step,
    )


def _of_loss_alone(steps: list[Step], numbers: Numbers) -> Finding:
    """A loss that is NaN, beside infinite ones, which may be meant."""
    loss = next(note for step in steps for note in step.losses if _is_nan(note))
    return Finding(
        kind="not-finite-value",
        severity="error",
        message=f"{_of_loss(loss)}, although all that the model returned is finite, and so are the gradients",
        hint="look at the loss: log of 0, a division by 0, an overflow",
        numbers=numbers,
        source=loss.source,
        step=steps[0].step,
    )


def _nan_weights(steps: list[Step]) -> list[str]:
    return list(dict.fromkeys(note.name for step in steps for note in step.parameters if math.isnan(note.weight or 0.0)))


def _broken_since(first: list[Step], steps: list[Step]) -> list[str]:
    """The parameters that hold NaN, or infinity where the first recorded step had none: a mask may be made of −∞."""
    known = {(step.rank, note.name): note.weight or 0.0 for step in first for note in step.parameters}
    notes = [(note, known.get((step.rank, note.name), 0.0)) for step in steps for note in step.parameters]
    return list(dict.fromkeys(note.name for note, before in notes if is_spoilt(before, note.weight or 0.0)))


def _origin_text(origin: Origin, broken: list[str], is_first: bool) -> str:
    """What happened.

    Args:
        origin: where numbers that are not finite came from.
        broken: the parameters that hold NaN or infinity already.
        is_first: whether no step was recorded before.
    """
    match origin.what, origin.made:
        case "value", True:
            return f"{origin.op} made {origin.number} of finite numbers"
        case "value", _ if broken and is_first:
            return f"{listed(broken)} held NaN when recording began"
        case "value", _ if broken:
            return f"an update since the last recorded step left NaN in {listed(broken)}"
        case "value", _:
            return f"NaN came in with the inputs; {origin.op} was the first to take it"
        case _, True:
            return f"on the way back {origin.op} made {origin.number} of finite cotangents"
    return f"cotangents that are not finite came back from the loss; {origin.op} was the first to take them"


def _loss_text(origin: Origin, steps: list[Step], rank: int) -> str:
    """Which loss was not finite although all that the model returned was."""
    if origin.made or origin.what == "value":
        return ""
    losses = [note for step in steps if step.rank == rank for note in step.losses if _is_broken(note.value)]
    return "".join(f"; {_of_loss(note)}" for note in losses)


def _of_loss(note: LossNote) -> str:
    by = f", by {', '.join(note.ops)}" if note.ops else ""
    return f"the loss at {note.source} is {number_text(note.value or 0.0)}{by}"


def _hint(origin: Origin, broken: list[str], is_first: bool) -> str:
    if origin.made:
        return "trace a step with these inputs: gradviz.trace(...).diagnose() names the numbers that made it"
    if broken and is_first:
        return "look at where its weights come from: a checkpoint, an initialisation"
    if broken:
        return "lower the learning rate, or clip the gradient norm; a smaller every= tells the step at which it began"
    if origin.what == "value":
        return "look at the inputs of this step: a broken file, a division in the preprocessing"
    return "look at the loss: log of 0, a division by 0, an overflow"


def ranks_differ(run: Run) -> Iterator[Finding]:
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


def _is_spoilt(note: ParameterNote) -> bool:
    return _is_broken(note.gradient)


def _is_nan(loss: LossNote) -> bool:
    return loss.value is not None and math.isnan(loss.value)


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
