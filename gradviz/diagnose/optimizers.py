"""What the optimizers in sight of a step will do with its gradients: parameters that none holds, and learning rates.

Not in sight is what clips gradients between the backward pass and the update; Adam's first update is the same with it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import Readings
from gradviz.recording.optimizers import Held

LEAST_SCALE = 256
"""A loss that is multiplied with a power of two of at least this is scaled against underflow of its gradients."""
SIGNS = frozenset({"Adam", "AdamW", "NAdam", "RAdam", "Adamax"})
"""Their first update moves each number by the learning rate, however large its gradient is."""
LARGE = {**dict.fromkeys(SIGNS, 0.3), "SGD": 10.0}
"""An update that moves the median weight matrix by more, beside its norm, leaves little of weights drawn with care. What
SGD is given may be clipped first, by 40 times in well-known recipes."""
MIN_WEIGHTS = 2


def unheld(readings: Readings) -> Iterator[Finding]:
    """Parameters with a gradient that no optimizer holds, in a model others of whose parameters one does hold.

    Who draws the gradient of one model through another, as that of a generator, does not train the other one.
    """
    graph, held = readings.graph, readings.graph.optimized()
    learning = {name: leaf for name, leaf in graph.leaves.items() if graph.cotangent(leaf) is not None}
    roots = {graph.nodes[leaf]["root"]: held[name].optimizer for name, leaf in learning.items() if name in held}
    for root, optimizer in roots.items():
        names = [name for name, leaf in learning.items() if root and graph.nodes[leaf]["root"] == root and name not in held]
        if names:
            largest = max(names, key=lambda name: readings.norm(graph.cotangent(learning[name])))
            yield found(
                graph,
                "not-in-optimizer",
                "warning",
                f"{listed(names)} {'gets' if len(names) == 1 else 'get'} a gradient, but {optimizer}, which trains other "
                f"parameters of {root}, does not hold {'it' if len(names) == 1 else 'them'}, nor does another optimizer: "
                "no update will move them",
                "make the optimizer of all of model.parameters(), after the last layer was put in; where this is meant, "
                "call requires_grad_(False) on them, which also saves the work",
                node=learning[largest],
                numbers={
                    "parameters that no optimizer holds": len(names),
                    f"gradient norm of {largest}": readings.norm(graph.cotangent(learning[largest])),
                },
            )


def rates(readings: Readings) -> Iterator[Finding]:
    """Per optimizer: a learning rate of 0, or one with which the next update leaves little of the weights."""
    graph = readings.graph
    of_optimizer: dict[str, dict[str, Held]] = {}
    for name, held in graph.optimized().items():
        if name in graph.leaves and graph.cotangent(graph.leaves[name]) is not None:
            of_optimizer.setdefault(held.optimizer, {})[name] = held
    for optimizer, entries in of_optimizer.items():
        still = [name for name, held in entries.items() if held.rate == 0]
        if still:
            yield found(
                graph,
                "learning-rate",
                "warning",
                f"the learning rate of {optimizer} is 0 for {listed(still)}: no update will move "
                f"{'it' if len(still) == 1 else 'them'}",
                "give that group a learning rate above 0; of a warm-up its scheduler takes care",
                node=graph.leaves[still[0]],
                numbers={"learning rate": 0.0, "parameters": len(still)},
            )
        yield from _too_large(readings, optimizer, entries)


def _too_large(readings: Readings, optimizer: str, entries: dict[str, Held]) -> Iterator[Finding]:
    moves = {name: move for name, held in entries.items() if (move := _move(readings, name, held)) is not None}
    held = next(iter(entries.values()))
    if len(moves) < MIN_WEIGHTS or statistics.median(moves.values()) <= LARGE[held.rule]:
        return
    most, median = max(moves, key=lambda name: moves[name]), statistics.median(moves.values())
    yield found(
        readings.graph,
        "learning-rate",
        "warning",
        f"with a learning rate of {entries[most].rate:g} the next update of {optimizer} ({held.rule}) moves the median "
        f"weight matrix by {median:.2g} times its norm, {most} by {moves[most]:.2g} times: little is "
        "left of the weights",
        "lower the learning rate" + (", normalise inputs and targets, or clip gradients" if held.rule == "SGD" else ""),
        node=readings.graph.leaves[most],
        numbers={
            "learning rate": entries[most].rate or 0.0,
            "median move over norm": median,
            "weight matrices": len(moves),
        },
    )


def _move(readings: Readings, name: str, held: Held) -> float | None:
    """How far the next update moves a weight matrix, beside its norm; None where that is not known."""
    graph, leaf = readings.graph, readings.graph.leaves[name]
    gradient, size = graph.cotangent(leaf), readings.norm(graph.value(leaf))
    if held.rule not in LARGE or not held.is_fresh or held.rate is None or gradient is None or gradient.ndim < 2:
        return None
    if not size or not readings.is_finite(gradient):
        return None
    step = readings.norm(gradient) / _scaled_by(readings) if held.rule == "SGD" else math.sqrt(int((gradient != 0).sum()))
    return held.rate * step / size


def _scaled_by(readings: Readings) -> float:
    """What a loss is multiplied with against underflow, as by `GradScaler`, and its gradients are divided by again."""
    (loss, *_) = readings.graph.outputs
    call, uses = readings.graph.nodes[loss]["call"], readings.arguments[loss]
    if readings.op(loss) != "mul" or call is None:
        return 1.0
    values = [readings.value_of(use) for use in uses if use.partial is None]
    numbers = [value.item() for value in values if value is not None and value.numel() == 1 and readings.has_elements(value)]
    numbers += [argument for argument in call.args[:2] if isinstance(argument, (int, float))]
    scales = [float(number) for number in numbers if number >= LEAST_SCALE and math.frexp(number)[0] == 0.5]
    return scales[0] if scales else 1.0
