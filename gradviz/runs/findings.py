"""`Run` -> what went wrong: each analysis one function, run -> findings, which say the step and the rank.

    absent.py   error      no-gradient
                warning    nothing-recorded, which is a hint while the run goes on
    broken.py   error      not-finite-value, not-finite-gradient, ranks-differ under DistributedDataParallel
                warning    ranks-differ
    layers.py   warning    dead-relu, gradient-jump, vanishing-gradient, saturated-module
    clearing.py error      gradients-cleared, gradients-thrown-away
    progress.py error      loss-rises, which is a warning under maximize=True
                warning    loss-without-bound, tiny-updates, updates-rounded
                hint       negated-loss
    moves.py    warning    large-update
    outsiders.py warning   unregistered-parameter
    updates.py  error      never-updated, gradients-not-cleared
                warning    parameter-not-updated, unused-parameter, trained-in-eval
                hint       frozen-parameter
    losses.py   error      double-softmax, sigmoid-before-logits, softmax-over-batch
                warning    squashed-logits, broadcast-pairs
                hint       log-of-softmax
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradviz.diagnose import Diagnosis, Finding
from gradviz.runs.absent import nothing_recorded, too_few
from gradviz.runs.broken import not_finite, ranks_differ
from gradviz.runs.clearing import cleared_early, thrown_away
from gradviz.runs.layers import dead_units, gradient_jump, saturated, vanishing
from gradviz.runs.losses import pairs
from gradviz.runs.moves import large_update
from gradviz.runs.outsiders import outsiders
from gradviz.runs.progress import loss_course, rounded_updates, tiny_updates
from gradviz.runs.run import Run
from gradviz.runs.updates import (
    frozen,
    never_updated,
    not_cleared,
    partly_updated,
    trained_in_eval,
    unused,
    zero_gradients,
)

FINDERS: tuple[Callable[[Run], Iterator[Finding]], ...] = (
    nothing_recorded,
    not_finite,
    ranks_differ,
    cleared_early,
    never_updated,
    not_cleared,
    thrown_away,
    loss_course,
    pairs,
    outsiders,
    partly_updated,
    zero_gradients,
    rounded_updates,
    tiny_updates,
    unused,
    trained_in_eval,
    large_update,
    dead_units,
    gradient_jump,
    vanishing,
    saturated,
    frozen,
)
"""In the order in which findings of the same severity are told: what explains the others comes first."""


def diagnose_run(run: Run) -> Diagnosis:
    """What went wrong in a training run; see `Run.diagnose`."""
    return Diagnosis([finding for finder in FINDERS for finding in finder(run)], unchecked=too_few(run))
