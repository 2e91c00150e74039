"""`Run` -> findings on what updates do: nothing, to a part of the model only, or with old gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gradviz.diagnose import Finding
from gradviz.diagnose.finding import listed
from gradviz.runs.clearing import cleared_before_update
from gradviz.runs.notes import Step
from gradviz.runs.progress import rates_text, rounded
from gradviz.runs.run import Run
from gradviz.runs.series import by_step

TINY = 1e-3
"""A gradient that small beside the largest may be rounding, as that of a bias before a batch norm; so may be its update."""
ENOUGH = 2
"""How many recorded updates there must be before what has not moved counts: the first may be part of a warm-up from 0."""

ENOUGH_ZEROS = 3
"""A layer behind one that starts at 0 has no gradient at the first step, and in a warm-up from 0 none at the second."""


def never_updated(run: Run) -> Iterator[Finding]:
    """All parameters still have the values that they began with."""
    if run.steps and _nothing_moved(run) and not cleared_before_update(run):
        rates = rates_text(list(_last(run)[0].parameters))
        updates = _updates(run)
        passes = sum(step.backwards for step in run.steps if step.rank == run.steps[0].rank)
        yield Finding(
            kind="never-updated",
            severity="error",
            message=f"no parameter has changed in {updates} recorded updates{rates and f' ({rates})'}: all have the value "
            "that they began with"
            if updates
            else f"{passes} backward passes were recorded, but no update: no parameter has changed",
            hint="look at the learning rate, and whether an update rounds to nothing in the parameters' dtype"
            if updates
            else "call optimizer.step(); make the optimizer of the parameters of this very model, after it was changed",
            numbers={"backward passes": passes, "recorded updates": updates},
            step=run.steps[-1].step,
        )


def partly_updated(run: Run) -> Iterator[Finding]:
    """Parameters with a gradient that have not moved, while others have."""
    if not run.steps or _nothing_moved(run):
        return
    last, unmoved = _last(run)[0], _unmoved(run)
    largest = max([note.gradient or 0.0 for note in last.parameters], default=0.0)
    unheld = [name for name in last.unheld if name in unmoved]
    told = rounded(run)
    names = [note.name for note in last.parameters if (note.gradient or 0.0) > TINY * largest]
    held = [name for name in names if name in unmoved and name not in told]
    rates = rates_text([note for note in last.parameters if note.name in held])
    enough = _updates(run) >= ENOUGH
    by_hand = all(note.lr is None for note in last.parameters)
    for names, why, hint, is_told in (
        (unheld, "no optimizer holds {}", "give the optimizer all of model.parameters(); where this is meant, call "
         "requires_grad_(False) on them, which also saves the work", enough or run.headers[0].knows_optimizers),
        (held, f"although {'the update moved others' if by_hand else 'an optimizer holds {}'}{rates and f'; {rates}'}",
         f"look at {'what the update runs over' if by_hand else 'the learning rate of their group'}, and whether an update "
         "rounds to nothing in their dtype", enough),
    ):  # fmt: skip
        if names and is_told:
            yield Finding(
                kind="parameter-not-updated",
                severity="warning",
                message=f"{listed(names)} had a gradient, but never changed: {why.format(_it(names))}",
                hint=hint,
                module=names[0].rpartition(".")[0],
                numbers={"parameters": len(names), "recorded updates": _updates(run)},
                step=last.step,
            )


def zero_gradients(run: Run) -> Iterator[Finding]:
    """Weights, and what else never moved since at each recorded update its gradient was 0 throughout.

    The last bias of a critic, alone, has none: in the difference of two of its results it cancels.
    """
    updated = [step for step in run.steps if step.updated]
    if len(by_step(run)) < ENOUGH_ZEROS or _nothing_moved(run):
        return
    notes = [note for step in updated for note in step.parameters if note.gradient is not None]
    moving = {note.name for note in notes if note.gradient != 0}
    names = [name for name in dict.fromkeys(note.name for note in notes) if name in _unmoved(run) - moving]
    if any(note.name in names and len(note.shape) > 1 for note in notes):
        yield Finding(
            kind="parameter-not-updated",
            severity="warning",
            message=f"{listed(names)} never changed: at each of {_updates(run)} recorded updates "
            f"{_it(names, 'its gradient was', 'their gradients were')} 0",
            hint="look for dead units, a mask, or a hook that changes the gradient: gradviz.trace(...).diagnose() of one "
            "step tells where it becomes 0",
            module=names[0].rpartition(".")[0],
            numbers={"parameters": len(names), "recorded updates": _updates(run)},
            step=updated[-1].step,
        )


def not_cleared(run: Run) -> Iterator[Finding]:
    """Gradients that at each recorded step still held what the update before had used."""
    later = [step for step in run.steps if step.updated and step.step > run.steps[0].step]
    held = [{note.name: note for note in step.parameters if note.gradient is not None} for step in later]
    names = [name for name in (held[-1] if held else ()) if all(notes[name].carried for notes in held if name in notes)]
    if names:
        norms = [notes[names[0]].gradient or 0.0 for notes in held if names[0] in notes]
        yield Finding(
            kind="gradients-not-cleared",
            severity="error",
            message=f"the gradient of {listed(names)} was not cleared between two updates: each update uses the gradients "
            "of all steps before it again",
            hint="call optimizer.zero_grad() once for each optimizer.step(), or set p.grad = None after each update by "
            "hand; accumulate only between two updates",
            module=names[0].rpartition(".")[0],
            numbers={"parameters": len(names), f"norm at step {later[0].step}": norms[0], "norm at last": norms[-1]},
            step=later[0].step,
        )


def trained_in_eval(run: Run) -> Iterator[Finding]:
    """A model in eval mode while it is trained, if that makes a difference to any of its modules."""
    trained = [step for step in run.steps if step.backwards]
    if trained and trained[-1].in_eval:
        since = next(step.step for step in trained if step.in_eval)
        paths = trained[-1].in_eval
        yield Finding(
            kind="trained-in-eval",
            severity="warning",
            message=f"the model is trained in eval mode since step {since}: {listed([path or 'it' for path in paths])} "
            f"{_it(paths, 'drops', 'drop')} nothing, or {_it(paths, 'normalises', 'normalise')} by statistics that no "
            "longer move",
            hint="call model.train() before the loop and after each evaluation",
            module=paths[0],
            numbers={"modules that this concerns": len(paths)},
            step=since,
        )


def unused(run: Run) -> Iterator[Finding]:
    """Parameters that the optimizer holds and that never had a gradient, although they require one."""
    names = _without_gradient(run, frozen=False)
    if names and not cleared_before_update(run):
        yield Finding(
            kind="unused-parameter",
            severity="warning",
            message=f"{listed(names)} had no gradient at any recorded step, yet an optimizer holds {_it(names)}",
            hint="use it in forward, or leave it out of the optimizer",
            module=names[0].rpartition(".")[0],
            numbers={"parameters": len(names)},
        )


def frozen(run: Run) -> Iterator[Finding]:
    """Parameters that the optimizer holds, but that are told not to have gradients."""
    names = _without_gradient(run, frozen=True)
    if names:
        sizes = {note.name: math.prod(note.shape) for step in run.steps for note in step.parameters}
        share = sum(sizes[name] for name in names) / sum(sizes.values())
        yield Finding(
            kind="frozen-parameter",
            severity="hint",
            message=f"an optimizer holds {listed(names)}, but {_it(names, 'it does', 'they do')} not require a gradient and "
            f"stay{_it(names, 's', '')} as {_it(names, 'it is', 'they are')}",
            hint="call requires_grad_(True) before training, unless this part of the model is to stay frozen",
            module=names[0].rpartition(".")[0],
            numbers={"parameters": len(names), "share of all numbers": share},
        )


def _nothing_moved(run: Run) -> bool:
    unmoved, last = _unmoved(run), _last(run)
    trained = {note.name for step in last for note in step.parameters if not note.frozen}
    if not unmoved or not trained <= unmoved:
        return False
    if _updates(run):
        return bool(trained) and _updates(run) >= ENOUGH
    return sum(step.backwards for step in run.steps if not step.origins) > 1


def _unmoved(run: Run) -> set[str]:
    """What at the last recorded step has not moved on any rank."""
    return set.intersection(*[set(step.unmoved) for step in _last(run)])


def _last(run: Run) -> list[Step]:
    """The last step that ended with an update, or the last one where none did."""
    steps = list(by_step(run).values())
    return next((of_step for of_step in reversed(steps) if any(step.updated for step in of_step)), steps[-1])


def _updates(run: Run) -> int:
    return sum(any(step.updated for step in steps) for steps in by_step(run).values())


def _without_gradient(run: Run, *, frozen: bool) -> list[str]:
    notes = [note for step in run.steps if step.updated for note in step.parameters]
    reached = {note.name for note in notes if note.gradient is not None}
    return [name for name in dict.fromkeys(note.name for note in notes if note.frozen == frozen) if name not in reached]


def _it(names: Sequence[str], one: str = "it", several: str = "them") -> str:
    return one if len(names) == 1 else several
