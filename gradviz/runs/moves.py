"""`Run` -> a finding on updates that leave little of the weights, and why: the rate, gradients, one batch, tiny weights."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gradviz.diagnose import Finding
from gradviz.diagnose.finding import Numbers
from gradviz.runs.notes import ParameterNote, Step
from gradviz.runs.progress import rates_text
from gradviz.runs.run import Run, gradient_norm
from gradviz.runs.series import by_step
from gradviz.view.notation import number_text

LARGE = 0.3
"""A healthy update moves the weights by 1e-4 to 1e-2 of their norm; Adam's first one of a small model by 0.1."""
SOON = 100
"""How many updates are measured beside the weights as they were in the beginning."""
SPIKE = 10.0
"""Gradient norms of a step may be several times the usual ones; where the other updates are healthy, this is the batch."""
SMALL = 0.1
"""Beside 1/√(3 · inputs), the size that torch's layers draw weights of; transformers draw them half as large."""
MODEST = 0.1
"""A learning rate of plain descent up to here is usual: what moves weights too far with it is the gradient."""
DESCENT = 2.0
"""Within this factor a step is the rate times the gradient; momentum makes it larger, one of Adam is another."""


class _Cause(NamedTuple):
    said: str
    hint: str
    numbers: Numbers


def large_update(run: Run) -> Iterator[Finding]:
    """An update, or one of the first, after which little is left of the weights that were drawn with care.

    What counts is the median over weight matrices: an embedding is larger than the others, a last layer may move more.
    Weights that grew hide how far they are thrown; so an early update is measured beside the norms that they began with,
    too. That they grew, alone, is no harm: those of a model that learns its few samples by heart do.
    """
    begin: dict[tuple[str, int], float] = {}
    moves: dict[int, dict[tuple[str, int], float]] = {}
    early: dict[int, dict[tuple[str, int], float]] = {}
    for number, steps in by_step(run).items():
        notes = [(note, note.weight, step.rank) for step in steps for note in _matrices(step)]
        known = {(note.name, rank): (size, note.update or 0.0) for note, size, rank in notes if size and math.isfinite(size)}
        if len(known) > 1:
            begin = begin or {place: size for place, (size, _) in known.items()}
            moves[number] = {place: update for place, (_, update) in known.items()}
            if number <= min(moves) + SOON:
                early[number] = {place: update * size / begin.get(place, size) for place, (size, update) in known.items()}
    for measured, beside in ((moves, "their norm"), (early, "the norm that they began with")):
        middles = {number: _middle(of_step.values()) for number, of_step in measured.items()}
        far = max(middles, key=middles.__getitem__, default=0)
        if middles and middles[far] > LARGE:
            (name, _), most = max(measured[far].items(), key=lambda item: item[1])
            cause, middle = _cause(run, far, middles), middles[far]
            numbers: Numbers = {"an update moved them by": middle, f"{name} by": most}
            yield Finding(
                kind="large-update",
                severity="warning",
                message=f"one update moved weights by {middle:.2g} times {beside}, {name} by {most:.2g} times{cause.said}",
                hint=cause.hint,
                module=name.rpartition(".")[0],
                numbers=numbers | cause.numbers,
                step=far,
            )
            return


def _matrices(step: Step) -> list[ParameterNote]:
    return [note for note in step.parameters if len(note.shape) > 1]


def _middle(ratios: Iterable[float]) -> float:
    """The median of ratios; between two of them their geometric mean, so that of two layers the last may move more, too."""
    return math.exp(statistics.median(math.log(ratio) if ratio else -math.inf for ratio in ratios))


def _cause(run: Run, far: int, middles: dict[int, float]) -> _Cause:
    """What the numbers of the step tell: a batch unlike the others, weights that are tiny, gradients, or the rate."""
    steps = by_step(run)[far]
    notes = [note for step in steps for note in _matrices(step) if note.weight and note.update and note.gradient]
    rates = rates_text(notes)
    return (
        _of_a_batch(run, far, middles)
        or _of_tiny_weights(notes)
        or _of_gradients(notes, rates)
        or _Cause("", f"lower the learning rate{rates and f' ({rates})'}; normalise inputs and targets", {})
    )


def _of_a_batch(run: Run, far: int, middles: dict[int, float]) -> _Cause | None:
    others = [number for number in middles if number != far]
    by_number = by_step(run)
    usual = [norm for number in others if (norm := gradient_norm(by_number[number])) is not None and math.isfinite(norm)]
    norm = gradient_norm(by_number[far])
    if len(usual) < 2 or norm is None or max(middles[number] for number in others) > LARGE:
        return None
    times = norm / (statistics.median(usual) or math.inf)
    if times < SPIKE:
        return None
    return _Cause(
        f", where the gradient is {number_text(times, 2)} times as large as at the other recorded steps",
        "look at the batch of this step; clip the gradient norm, as torch.nn.utils.clip_grad_norm_ does",
        {"gradient norm": norm, "usual gradient norm": statistics.median(usual)},
    )


def _of_tiny_weights(notes: list[ParameterNote]) -> _Cause | None:
    if not notes:
        return None
    usual = [math.sqrt(math.prod(note.shape) / (3 * math.prod(note.shape[1:]))) for note in notes]
    sizes = _middle((note.weight or 0.0) / size for note, size in zip(notes, usual, strict=True))
    moved = _middle((note.update or 0.0) * (note.weight or 0.0) / size for note, size in zip(notes, usual, strict=True))
    if sizes >= SMALL or moved > LARGE:
        return None
    return _Cause(
        f"; the weights are {number_text(sizes, 2)} times as large as torch's layers draw them",
        "draw the weights larger, as torch's layers do by themselves, or nn.init.kaiming_uniform_: the same update would "
        f"move such weights by {number_text(moved, 2)} of their norm",
        {"weights over their usual size": sizes},
    )


def _of_gradients(notes: list[ParameterNote], rates: str) -> _Cause | None:
    """Of plain descent at a rate that is usual; None of any other step, which Adam makes as large as its rate."""
    sizes = [(note.weight or 0.0, note.gradient or 0.0, note.lr or 0.0) for note in notes]
    ratios = [(note.update or 0.0) * weight / (rate * gradient)
              for note, (weight, gradient, rate) in zip(notes, sizes, strict=True) if rate * gradient]  # fmt: skip
    if len(ratios) < len(notes) or not ratios or not 1 / DESCENT <= _middle(ratios) <= DESCENT:
        return None
    if max(rate for _, _, rate in sizes) > MODEST:
        return None
    over = _middle(gradient / weight for weight, gradient, _ in sizes)
    return _Cause(
        f"; the gradient is {number_text(over, 2)} times as large as the weights",
        "normalise inputs and targets, and average the loss over the samples; clip the gradient norm, or lower the learning "
        f"rate ({rates})",
        {"gradient over weights": over},
    )
