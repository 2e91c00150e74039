"""`Run` -> a finding on parameters that the model uses and does not have: `model.parameters()` lacks them."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose import Finding
from gradviz.runs.notes import Step
from gradviz.runs.run import Run
from gradviz.runs.series import by_step

ENOUGH = 2
"""How many recorded updates there must be before none is known to hold them, unless `watch` was told of the optimizers."""


def outsiders(run: Run) -> Iterator[Finding]:
    """Those of the last recorded update, as layers in a plain Python list have."""
    updated = [steps for steps in by_step(run).values() if any(step.updated for step in steps)]
    last: Step | None = next((step for step in updated[-1] if step.outsiders), None) if updated else None
    if last is None or not any(note.lr is not None for note in last.parameters):
        return  # an update by hand may be of anything
    if len(updated) < ENOUGH and not run.headers[0].knows_optimizers:
        return
    count, first = len(last.outsiders), last.outsiders[0]
    tensors, are, them = (f"{count} tensors get", "are", "them") if count > 1 else ("a tensor gets", "is", "it")
    yield Finding(
        kind="unregistered-parameter",
        severity="warning",
        message=f"{tensors} a gradient inside of {run.headers[0].model}, but {are} none of its parameters, and no optimizer "
        f"holds {them}",
        hint="hold layers in an nn.ModuleList or nn.ModuleDict, tensors as nn.Parameter: plain lists are not looked into",
        source=first.source,
        module=first.module,
        numbers={
            "tensors": count,
            "shapes": ", ".join(map(str, sorted({note.shape for note in last.outsiders}))),
            "recorded updates": len(updated),
        },
        step=last.step,
    )
