"""A mean of log-probabilities as the loss, its minus forgotten: it falls without bound as what is observed gets unlikely.

Log-probabilities are those of chosen classes, and Gaussian log-densities, known by their constant, a multiple of log(2π)/2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.likelihood import normalised_over
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use

HALF_LOG_TAU = math.log(2 * math.pi) / 2
MOST_DIMENSIONS = 10_000
MEANS = COPIES - {"index", "cat", "stack"} | {"mean", "sum", "logsumexp"}


def missing_minus(readings: Readings) -> Iterator[Finding]:
    """A loss made of log-probabilities, none of which is subtracted.

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
    is_density = _density(readings, node) != 0
    of_what = "Gaussian log-densities" if is_density else "log-probabilities of the chosen classes"
    yield found(
        graph,
        "missing-minus",
        "warning",
        f"the loss grows with the {of_what}, {readings.name(node)}: to make it smaller is to "
        f"make {'what was observed' if is_density else 'the right classes'} unlikely, without bound",
        "put a minus before it: "
        f"-{'log_prob' if is_density else 'log_probabilities'}.mean(); all is well where the optimizer maximises",
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
        elif sign := _density(readings, node):
            value = readings.graph.value(node)
            yield node, minus != (sign < 0), 0 if value is None else value.numel()
        elif op in MEANS and uses:
            pending.append((uses[0].edge[0], minus))
        elif op == "neg":
            pending.append((uses[0].edge[0], not minus))
        elif op in ("mul", "div") and len(uses) == 1:
            pending.append((uses[0].edge[0], minus != (_factor(readings, node) < 0)))
        elif op in ("add", "sub"):
            pending += [(use.edge[0], minus != (op == "sub" and place > 0)) for place, use in enumerate(uses)]


def _density(readings: Readings, node: int) -> int:
    """1 where a call makes Gaussian log-densities, −1 where it makes their negatives, 0 elsewhere.

    What was drawn of the same Gaussian is no observation: its log-density is an entropy, as a policy raises it.
    """
    call, uses = readings.graph.nodes[node]["call"], readings.arguments[node]
    op = readings.op(node)
    if op not in ("add", "sub") or call is None or len(uses) != 1 or readings.graph.cotangent(node) is None:
        return 0
    number = next((argument for argument in call.args[:2] if isinstance(argument, (int, float))), 0.0)
    dimensions = number / HALF_LOG_TAU if math.isfinite(number) else 0.0
    is_known = 1 <= abs(round(dimensions)) <= MOST_DIMENSIONS and math.isclose(dimensions, round(dimensions), abs_tol=1e-6)
    if not is_known or not (squares := list(_squares(readings, node))) or any(map(partial(_is_drawn, readings), squares)):
        return 0
    return -1 if (number > 0) == (op == "add") else 1


def _squares(readings: Readings, node: int) -> Iterator[int]:
    """The nearest calls behind a node that square their argument."""
    pending, seen = [node], {node}
    while pending:
        for use in readings.arguments[pending.pop()]:
            tail = use.edge[0]
            call = readings.graph.nodes[tail]["call"]
            if use.partial is None or tail in seen:
                continue
            seen.add(tail)
            if readings.op(tail) in ("pow", "square") and call is not None and call.args[1:2] in ((2,), ()):
                yield tail
            else:
                pending.append(tail)


def _is_drawn(readings: Readings, square: int) -> bool:
    """Whether what is squared is the difference of a draw from its own mean, or was made of a draw in another way."""
    node = readings.behind(readings.arguments[square][0].edge[0], COPIES)
    uses = readings.arguments[node]
    if readings.op(node) != "sub" or len(uses) != 2:
        return any(readings.op(one) == "normal" for one in (node, *readings.made_of(node)))
    mean = readings.behind(uses[1].edge[0], COPIES)
    return readings.graph.cotangent(mean) is not None and mean in readings.made_of(uses[0].edge[0])


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
