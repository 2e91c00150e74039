"""`Run` -> findings on what stands between a model and `backward()`: what takes logits of what is none, and lost shapes."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose import Finding
from gradviz.diagnose.finding import Severity
from gradviz.diagnose.log_of_softmax import STABLE
from gradviz.diagnose.logits import SQUASHED
from gradviz.runs.loss import CLASSES
from gradviz.runs.notes import Pair
from gradviz.runs.run import Run


def pairs(run: Run) -> Iterator[Finding]:
    """One finding for each line, of the first step at which it is seen."""
    first: dict[Pair, int] = {}
    for step in run.steps:
        for pair in step.pairs:
            first.setdefault(pair, step.step)
    for pair, number in first.items():
        told = _told(pair)
        if told is not None:
            kind, severity, message, hint = told
            yield Finding(
                kind=kind, severity=severity, message=message, hint=hint, source=pair.source, module=pair.module, step=number
            )


def _told(pair: Pair) -> tuple[str, Severity, str, str] | None:
    """(kind, severity, message, hint); None where the pair is as it should be."""
    op, before = pair.op.strip("_"), pair.before.strip("_")
    where = "" if pair.module else "; the line is that of backward()"
    if pair.made:
        return (
            "broadcast-pairs",
            "warning",
            f"{op} made {pair.made} of {pair.before}, which the model returned: it pairs each output with each of something "
            f"else{where}",
            "give the target the shape of the output: squeeze(-1) on one, or unsqueeze(-1) on the other",
        )
    if pair.dim is not None:
        return (
            "softmax-over-batch",
            "error",
            f"{before} makes the numbers along dimension {pair.dim} sum to 1, while the classes of {op} are along "
            f"dimension {CLASSES}{where}",
            f"pass dim={CLASSES} to the softmax",
        )
    if pair.before in SQUASHED.get(pair.op, {}):
        kind, severity, hint = SQUASHED[pair.op][pair.before]
        return kind, severity, f"{op} takes the result of {before} for logits{where}", hint
    if pair.op.startswith("log") and pair.op not in SQUASHED and pair.before in STABLE:
        message = f"{op} of the {before} loses digits, and is −∞ once a probability underflows{where}"
        return "log-of-softmax", "hint", message, f"use {STABLE[pair.before]}, or a loss that takes logits"
    return None
