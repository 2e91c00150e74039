"""`Run` -> findings on what training comes to: losses that climb or fall without bound, updates that do little."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise, takewhile

from gradviz.diagnose import Finding
from gradviz.diagnose.finding import listed
from gradviz.runs.loss import NEVER_NEGATIVE
from gradviz.runs.notes import ParameterNote, Step
from gradviz.runs.run import Run, gradient_norm
from gradviz.runs.series import Series, loss_values
from gradviz.view.notation import number_text

ENOUGH = 5
"""How many recorded losses there must be, each above the one before."""
FEWEST = 3
"""How many there must be before one that is not finite: what has no bound soon overflows."""
RISEN, CLIMBED = 100.0, 3.0
"""The loss of a player in a game may become ten times as large as another learns; with `maximize=True` that is no chance."""
FALLEN = 10.0
HELD = -5.0
"""A loss that begins next to zero, as a difference of two scores does, is soon many times as low as it was high. Means of
probabilities and cosines, and their differences, stay above this."""
SCALINGS = frozenset({"mul", "div"})
REDUCING = frozenset({"mean", "sum"})
LOG_PROBABILITIES = frozenset({"log_softmax", "log_sigmoid"})
REMOVE = "remove the minus, unless the model is to unlearn: what torch calls a loss is to be small"
TINY = 1e-6
"""A healthy update is 1e-4 to 1e-2 of the weights; a careful one, that adapts a trained model, 1e-5."""
CLIPPED = 1e-3
HALF = 0.5
FEW_BITS = ("bfloat16", "float16")


def loss_course(run: Run) -> Iterator[Finding]:
    """A loss that rose, or fell below zero, ever on and by far; and one that is minus an error, however slowly it falls."""
    courses = list(_courses(run))
    yield from courses
    yield from _minus_an_error(run, {finding.source for finding in courses})


def _minus_an_error(run: Run, told: Collection[str]) -> Iterator[Finding]:
    """At most one, where each recorded loss was, and where the course of its numbers does not tell."""
    losses = [note for step in run.steps for note in step.losses]
    names = {note.minus_of for note in losses}
    values = [note.value for note in losses if note.value is not None]
    is_told = any(note.source in told for note in losses) or any(step.maximizes for step in run.steps)
    if len(names) != 1 or "" in names or is_told:
        return
    if values and max(values) < 0:
        yield Finding(
            kind="negated-loss",
            severity="hint",
            message=f"the loss is minus {names.pop()}: to make it smaller is to make the error larger, without bound",
            hint="take the minus away; all is well where the error shall grow, as an adversary's or that of what shall be "
            "unlearned, or where the optimizer maximises",
            numbers={"first": values[0], "last": values[-1]},
            source=losses[0].source,
            step=run.steps[-1].step,
        )


def _courses(run: Run) -> Iterator[Finding]:
    for series in loss_values(run):
        values = [value for value in series.values if value is not None]
        if len(values) < ENOUGH:
            continue
        finite = list(takewhile(math.isfinite, values))
        if len(finite) >= FEWEST and finite[0] < 0 and _falls(finite):
            yield from _negated(run, series, finite)
        elif any(map(math.isnan, values)) or values[0] <= 0:
            continue
        elif _falls(values):
            yield from _fallen(run, series, values)
        elif _falls(values[::-1]):
            yield from _risen(run, series, values)


def _falls(values: Sequence[float]) -> bool:
    return all(later < earlier for earlier, later in pairwise(values))


def _risen(run: Run, series: Series, values: list[float]) -> Iterator[Finding]:
    times = values[-1] / values[0]
    maximizes = any(step.maximizes for step in run.steps)
    if times < (CLIMBED if maximizes else RISEN):
        return
    yield Finding(
        kind="loss-rises",
        severity="warning" if maximizes else "error",
        message=f"the loss rose {_course(values)}" + (": the optimizer was made with maximize=True" if maximizes else ""),
        hint="remove maximize=True, unless this is a score that is to be large"
        if maximizes
        else "lower the learning rate; look for a wrong sign in the loss or in a custom backward",
        numbers={"times as large": times},
        source=series.name,
        step=series.steps[-1],
        rank=run.told(series.rank),
    )


def _fallen(run: Run, series: Series, values: list[float]) -> Iterator[Finding]:
    first, half, last = values[0], values[len(values) // 2], values[-1]
    if last <= min(-FALLEN * first, HELD) and half - last > first - half:
        yield Finding(
            kind="loss-without-bound",
            severity="warning",
            message=f"the loss fell {_course(values)}, faster and faster: nothing holds it",
            hint="look for a term of the loss with the wrong sign, as a divergence that is subtracted",
            numbers={"first": first, "last": last},
            source=series.name,
            step=series.steps[-1],
            rank=run.told(series.rank),
        )


def _negated(run: Run, series: Series, values: list[float]) -> Iterator[Finding]:
    """Of what begins below zero, as a score does that is to be large, only the minus of a loss is known to have no bound."""
    made_of = {note.ops for step in run.steps for note in step.losses if note.source == series.name}
    if len(made_of) != 1 or values[-1] > min(FALLEN * values[0], HELD):
        return
    (ops,) = made_of
    if (told := _minus_of(ops)) is not None:
        what, hint = told
        steps = [step for step, value in zip(series.steps, series.values, strict=True) if value is not None]
        overflows = ", and then to what is not finite" if len(values) < len(steps) else ""
        yield Finding(
            kind="loss-without-bound",
            severity="warning",
            message=f"the loss is {what}, and fell {_course(values)}{overflows}: nothing holds it, and the "
            "worse the answers are, the smaller it is",
            hint=hint,
            numbers={"first": values[0], "last": values[-1]},
            source=series.name,
            step=steps[len(values) - 1],
            rank=run.told(series.rank),
        )


def _minus_of(ops: Sequence[str]) -> tuple[str, str] | None:
    """What a loss below zero is, and what to do, where its functions say that it is small where answers are bad; else None.

    Functions come in their order, each once. A log-probability times something may be that of a policy, with weights of
    either sign. Minus a squared difference that is written by hand may be a player's score, as that of a least squares game.

    >>> _minus_of(("mse_loss", "neg"))[0], _minus_of(("log_softmax", "gather", "mean"))[0]
    ('minus the mse_loss', 'the log-probability of log_softmax')
    >>> _minus_of(("mean", "neg")), _minus_of(("log_softmax", "mul", "mean")), _minus_of(("sub", "pow", "mean", "neg"))
    (None, None, None)
    """
    *before, last = [op for op in ops if op not in SCALINGS] or [""]
    if last == "neg" and before and before[-1] in NEVER_NEGATIVE:
        return f"minus the {before[-1]}", REMOVE
    if set(ops) & LOG_PROBABILITIES and set(ops) <= LOG_PROBABILITIES | REDUCING | {"gather"}:
        (name, *_) = [op for op in ops if op in LOG_PROBABILITIES]
        return f"the log-probability of {name}", "put a minus before it, unless the model is to unlearn"
    return None


def _course(values: list[float]) -> str:
    return f"from {number_text(values[0])} to {number_text(values[-1])} over {len(values)} recorded steps"


def tiny_updates(run: Run) -> Iterator[Finding]:
    """Updates that throughout are next to nothing beside the weights, although they do change them."""
    updated = [step for step in run.steps if step.updated]
    known = [[note.update for note in step.parameters if note.gradient and note.update is not None] for step in updated]
    moves = [statistics.median(of_step) for of_step in known if of_step]  # one bias may be next to 0
    if len(moves) < ENOUGH or not 0 < max(moves) < TINY:
        return
    clipped = [_clipped(step) for step in updated]
    is_clipped = all(share < CLIPPED for share in clipped)
    yield Finding(
        kind="tiny-updates",
        severity="warning",
        message=f"no update moved the parameters by more than {number_text(max(moves), 3)} times their norm"
        + _rates(updated[-1])
        + (f"; the optimizer got {number_text(max(clipped), 3)} of the gradients of backward()" if is_clipped else ""),
        hint="raise the bound that gradients are clipped to" if is_clipped else "raise the learning rate",
        numbers={"largest update": max(moves)},
        step=updated[-1].step,
    )


def rounded(run: Run) -> list[str]:
    """The parameters of few bits most of whose elements stay as they are at each update, although they have a gradient.

    Empty where none of them changes at all: of these `parameter-not-updated` tells.
    """
    shares: dict[str, list[float]] = {}
    for note in (note for step in run.steps if step.updated for note in step.parameters):
        if note.dtype in FEW_BITS and note.lr and note.unchanged is not None:
            shares.setdefault(note.name, []).append(note.unchanged)
    names = [name for name, of_steps in shares.items() if len(of_steps) > 1 and min(of_steps) >= HALF]
    return [] if all(min(shares[name]) == 1.0 for name in names) else names


def rounded_updates(run: Run) -> Iterator[Finding]:
    """Weights that are too coarse for what their optimizer adds to them."""
    names = rounded(run)
    if not names:
        return
    updated = [step for step in run.steps if step.updated]
    notes = [note for note in updated[-1].parameters if note.name in names]
    size = sum(math.prod(note.shape) for note in notes)
    share = sum(math.prod(note.shape) * (note.unchanged or 0.0) for note in notes) / (size or 1)
    yield Finding(
        kind="updates-rounded",
        severity="warning",
        message=f"at each update {share:.0%} of the elements of {listed(names)} stay as they are: beside the weights it "
        f"rounds to nothing{_rates(updated[-1])}",
        hint="keep the weights in float32 and compute under torch.autocast, or raise the learning rate",
        module=names[0].rpartition(".")[0],
        numbers={"share of elements unchanged": share, "parameters": len(notes)},
        step=updated[-1].step,
    )


def rates_text(notes: list[ParameterNote]) -> str:
    """The learning rates of parameters, "lr is 0.0", and a dtype of few bits; "" where none is known.

    >>> rates_text([])
    ''
    """
    rates = sorted({note.lr for note in notes if note.lr is not None})
    coarse = sorted({f", dtype {note.dtype}" for note in notes if note.dtype in FEW_BITS})
    return f"lr is {', '.join(f'{rate:.4g}' if rate else '0.0' for rate in rates[:3])}{''.join(coarse)}" if rates else ""


def _rates(step: Step) -> str:
    text = rates_text(list(step.parameters))
    return f" ({text})" if text else ""


def _clipped(step: Step) -> float:
    """The norm of the gradients that the optimizer got, beside that of what `backward()` left."""
    return (gradient_norm([step]) or 0.0) / step.made if step.made else 1.0
