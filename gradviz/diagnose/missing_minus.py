"""A mean of log-probabilities as the loss, its minus forgotten: it falls without bound as the right classes get unlikely."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.likelihood import normalised_over
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use

MEANS = COPIES - {"index", "cat", "stack"} | {"mean", "sum"}


def missing_minus(readings: Readings) -> Iterator[Finding]:
    """A loss made of log-probabilities of chosen classes, none of which is subtracted.

    What else has a plus before a log-probability is multiplied: an advantage, a cost, a probability of the model itself.
    """
    graph = readings.graph
    if graph.loss is None:
        return
    picked = list(_picks(readings, graph.loss[0]))
    if not picked or any(minus for _, minus, _ in picked):
        return
    node, _, values = picked[0]
    loss = graph.value(*graph.loss)
    if values < 2 or loss is None:
        return
    yield found(
        graph,
        "missing-minus",
        "warning",
        f"the loss grows with the log-probabilities of the chosen classes, {readings.name(node)}: to make it smaller is to "
        "make the right classes unlikely, without bound",
        "put a minus before it: -log_probabilities.mean(); all is well where the optimizer maximises",
        node=node,
        numbers={"loss": float(loss), "log-probabilities": values},
    )


def _picks(readings: Readings, loss: int) -> Iterator[tuple[int, bool, int]]:
    """(call, whether a minus stands before it, how many) for the terms of a loss that pick from log-probabilities."""
    pending = [(loss, False)]
    seen: set[tuple[int, bool]] = set()
    while pending:
        node, minus = pending.pop()
        if (node, minus) in seen:
            continue
        seen.add((node, minus))
        op, uses = readings.op(node), readings.arguments[node]
        if (count := _picked(readings, node)) or op == "nll_loss_forward":
            yield node, minus != (op == "nll_loss_forward"), count
        elif op in MEANS and uses:
            pending.append((uses[0].edge[0], minus))
        elif op == "neg":
            pending.append((uses[0].edge[0], not minus))
        elif op in ("mul", "div") and len(uses) == 1:
            pending.append((uses[0].edge[0], minus != (_factor(readings, node) < 0)))
        elif op in ("add", "sub"):
            pending += [(use.edge[0], minus != (op == "sub" and place > 0)) for place, use in enumerate(uses)]


def _factor(readings: Readings, node: int) -> float:
    """The number that a call multiplies with or divides by."""
    call = readings.graph.nodes[node]["call"]
    numbers = [] if call is None else [argument for argument in call.args[:2] if isinstance(argument, (int, float))]
    return float(numbers[0]) if numbers else 1.0


def _picked(readings: Readings, node: int) -> int:
    """How many log-probabilities a call picks: by an index, or by a product with one-hot rows; 0 where it does not."""
    uses, value = readings.arguments[node], readings.graph.value(node)
    if value is None or not uses:
        return 0
    if readings.op(node) in ("gather", "index") and _is_log_probability(readings, uses[0]):
        return value.numel()
    if readings.op(node) == "mul" and len(uses) == 2:
        for own, other in ((uses[0], uses[1]), (uses[1], uses[0])):
            target = readings.value_of(other)
            is_target = other.partial is None and target is not None and target.shape == value.shape
            if is_target and _is_log_probability(readings, own) and (dims := normalised_over(target)):
                return value.numel() // value.shape[dims[-1]]
    return 0


def _is_log_probability(readings: Readings, use: Use) -> bool:
    """log_softmax(x), log(softmax(x)), or x − logsumexp(x)."""
    node = readings.behind(use.edge[0], COPIES)
    op, uses = readings.op(node), readings.arguments[node]
    if op == "log":
        return readings.op(readings.behind(uses[0].edge[0], COPIES | {"clamp", "clamp_min"})) == "_softmax"
    return op == "_log_softmax" or (op == "sub" and len(uses) == 2 and readings.op(uses[1].edge[0]) == "logsumexp")
