"""`Run` -> findings on gradients that are cleared too early: before the update, or between passes that are to add up."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose import Finding
from gradviz.runs.notes import Step
from gradviz.runs.run import Run
from gradviz.view.notation import number_text

ENOUGH = 2
"""At how many recorded updates it must be so, and at all of them."""


def cleared_before_update(run: Run) -> bool:
    """Whether at no recorded update anything was left of what `backward()` had made."""
    updated = [step for step in run.steps if step.updated and step.parameters]
    return len(updated) >= ENOUGH and all(map(_is_cleared, updated))


def cleared_early(run: Run) -> Iterator[Finding]:
    """Gradients that were gone when the optimizer stepped."""
    if cleared_before_update(run):
        first = next(step for step in run.steps if step.updated and step.parameters)
        yield Finding(
            kind="gradients-cleared",
            severity="error",
            message=f"backward() made gradients (norm {number_text(first.made or 0.0)}), they were cleared before "
            "optimizer.step()",
            hint="call optimizer.zero_grad() before backward() or after optimizer.step(), not between them",
            numbers={"norm that backward() left": first.made or 0.0},
            step=first.step,
        )


def thrown_away(run: Run) -> Iterator[Finding]:
    """Passes that do the same as the one that is used, and whose gradients were cleared before it."""
    updated = [step for step in run.steps if step.updated]
    if len(updated) >= ENOUGH and all(step.thrown for step in updated):
        last = updated[-1]
        yield Finding(
            kind="gradients-thrown-away",
            severity="error",
            message=f"the gradients of {last.thrown} of {last.thrown + last.kept} backward passes were thrown away: "
            "they were cleared before the update",
            hint="call optimizer.zero_grad() once for each optimizer.step(), outside of the loop that accumulates",
            numbers={"passes thrown away": last.thrown, "passes used": last.kept},
            step=last.step,
        )


def _is_cleared(step: Step) -> bool:
    return bool(step.made) and not any(note.gradient for note in step.parameters)
