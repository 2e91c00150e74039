"""`Run` -> why nothing was recorded, or too little: what has not been looked at is not called healthy."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose import Finding
from gradviz.diagnose.finding import Numbers, listed
from gradviz.runs.layers import EARLIER
from gradviz.runs.notes import End
from gradviz.runs.progress import ENOUGH as COURSE
from gradviz.runs.run import Run

JUMP = EARLIER + 1


def nothing_recorded(run: Run) -> Iterator[Finding]:
    """One finding where no rank has recorded a step."""
    if run.steps:
        return
    if not run.ends:
        yield Finding(
            kind="nothing-recorded",
            severity="hint",
            message="no step was recorded so far, so nothing could be looked at: the first is written when it is over",
            hint="look again after a few steps, or when the with block has ended",
        )
        return
    end = run.ends[0]
    numbers: Numbers = {"forward passes": end.forwards, "optimizer steps": end.updates, "recorded steps": 0}
    yield Finding(
        kind="no-gradient" if end.forwards and end.opened else "nothing-recorded",
        severity="error" if end.forwards and end.opened else "warning",
        message=f"{why_nothing(end)}, so nothing could be looked at",
        hint=_hint(end),
        numbers=numbers,
    )


def too_few(run: Run) -> str:
    """What cannot be told from so few recorded steps, in a sentence; "" where there are enough, or none at all."""
    count = len({step.step for step in run.steps if step.updated} or {step.step for step in run.steps})
    if not 0 < count < COURSE:
        return ""
    unseen = [
        *(["gradients that nobody clears or that are cleared too early (2 steps)"] if count < 2 else []),
        *([f"gradients that jump ({JUMP})"] if count < JUMP else []),
        f"losses that run away and updates that do next to nothing ({COURSE})",
    ]
    fewer = "; choose a smaller every= for more" if run.headers[0].every > 1 else ""
    return f"Not to be seen in {count} recorded step{'' if count == 1 else 's'}: {', '.join(unseen)}{fewer}."


def why_nothing(end: End) -> str:
    """Why no step was recorded.

    >>> why_nothing(End(rank=0, forwards=0, updates=3, opened=0, moved=("G", "D"), broken=()))
    'the model itself was never called; its parts G, D were'
    """
    if not end.forwards:
        parts = f"; its part{'s' if len(end.moved) > 1 else ''} {listed(list(end.moved))} "
        return "the model itself was never called" + (
            f"{parts}{'were' if len(end.moved) > 1 else 'was'}" if end.moved else " with gradients switched on"
        )
    if not end.opened:
        return f"none of the steps has a number that every= divides ({end.updates} were made)"
    ran, stepped = _times(end.forwards), _times(end.updates)
    return f"forward ran {ran}, the optimizer stepped {stepped}, no gradient ever reached the model"


def _hint(end: End) -> str:
    if not end.forwards:
        several = "with gradviz.watch(model.a, 'run-a') as a, gradviz.watch(model.b, 'run-b') as b: ..."
        return f"watch each: {several}" if end.moved else "hand in the module that the loop calls"
    if not end.opened:
        return "choose a smaller every="
    return (
        "look for detach(), .data, torch.no_grad() or a new tensor between the model and the loss: "
        "gradviz.trace(...).diagnose() of one step names the line"
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
