"""A loss that is minus an error: it falls without bound as the error grows. An adversary's may, so this is a hint.

Told where the loss is nothing else, and the error that of a model's answers to data: what is subtracted from another term is
an adversary's, as is what has several models, a model that is frozen, or an input that learns; and labels that are all alike
are those of a discriminator.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.likelihood import NLL, NLL_IGNORE_INDEX
from gradviz.diagnose.readings import COPIES, MATRIX_PRODUCTS, Readings
from gradviz.graph import Use

ERRORS = NLL | {
    *("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"),
    *("binary_cross_entropy", "binary_cross_entropy_with_logits"),
}
POWERS = frozenset({"pow", "square", "abs"})
MOVING = COPIES - {"index", "cat", "stack"} | {"mean", "sum"}


def negated_loss(readings: Readings) -> Iterator[Finding]:
    """At most one, where every term of the loss is an error with a minus."""
    graph = readings.graph
    if graph.loss is None or not _is_of_one_model(readings):
        return
    terms = list(_terms(readings, graph.loss[0]))
    if not terms or any(factor >= 0 or not _is_error(readings, node) for node, factor in terms):
        return
    node = terms[0][0]
    loss = graph.value(*graph.loss)
    yield found(
        graph,
        "negated-loss",
        "hint",
        f"the loss is minus {_called(readings, node)}: to make it smaller is to make the error larger, without bound",
        "take the minus away; all is well where the error shall grow, as an adversary's or that of what shall be unlearned, "
        "or where the optimizer maximises",
        node=node,
        numbers={} if loss is None or loss.numel() != 1 else {"loss": float(loss)},
    )


def _is_of_one_model(readings: Readings) -> bool:
    """Whether all that learns is parameters of one module, and none of its parameters is frozen."""
    graph = readings.graph
    learning = {graph.nodes[leaf]["root"] for leaf in graph.leaves.values() if graph.nodes[leaf]["requires_grad"]}
    frozen = any(data["root"] and not data["requires_grad"] for _, data in graph.nodes(data=True))
    return len(learning) == 1 and "" not in learning and not frozen


def _terms(readings: Readings, loss: int) -> Iterator[tuple[int, float]]:
    """(call, number before it) for the terms of a loss that a gradient goes to."""
    pending = [(loss, 1.0)]
    while pending:
        node, factor = pending.pop()
        op, call, uses = readings.op(node), readings.graph.nodes[node]["call"], readings.arguments[node]
        numbers = [] if call is None else [one for one in call.args[:2] if isinstance(one, (int, float))]
        is_scaled = op in ("mul", "div") and len(uses) == 1 and len(numbers) == 1
        if op in ("add", "sub", "rsub"):
            for place, use in enumerate(uses):
                is_less = (op == "sub" and place > 0) or op == "rsub"
                pending += [(use.edge[0], -factor if is_less else factor)] if use.partial is not None else []
        elif op == "neg" or op in MOVING or is_scaled:
            sign = -1.0 if op == "neg" else float(numbers[0]) if is_scaled else 1.0
            pending.append((uses[0].edge[0], factor * sign))
        else:
            yield node, factor


def _is_error(readings: Readings, node: int) -> bool:
    """Whether a call measures how far what layers made is from data that differ."""
    op, uses = readings.op(node), readings.arguments[node]
    if op in POWERS and uses:
        node = readings.behind(uses[0].edge[0], MOVING - {"mean", "sum"})
        op, uses = readings.op(node), readings.arguments[node]
        if op != "sub":
            return False
    elif op not in ERRORS:
        return False
    if len(uses) < 2:
        return False
    for own, other in ((uses[0], uses[1]), (uses[1], uses[0])):
        if own.partial is not None and other.partial is None and _are_data(readings, node, other):
            made = readings.behind_of(own.edge[0]) | {own.edge[0]}
            return any(readings.op(one) in MATRIX_PRODUCTS for one in made)
    return False


def _are_data(readings: Readings, node: int, use: Use) -> bool:
    """Whether a target comes of nothing that learns, and is not the same number everywhere."""
    graph, target = readings.graph, readings.value_of(use)
    if any(graph.nodes[one]["requires_grad"] for one in (use.edge[0], *readings.made_of(use.edge[0]))):
        return False
    if target is None or not readings.has_elements(target):
        return False
    call = graph.nodes[node]["call"]
    if readings.op(node) in NLL and call is not None:
        target = target[target != call.args[NLL_IGNORE_INDEX]]
    return target.numel() > 1 and bool((target != target.reshape(-1)[0]).any()) and not _is_one_mean(readings, node, use)


def _is_one_mean(readings: Readings, node: int, use: Use) -> bool:
    """Whether a target is the mean of something, the same for each sample: far from that lies what is spread out."""
    target, compared = readings.value_of(use), map(readings.value_of, readings.arguments[node][:2])
    if target is None or readings.op(readings.behind(use.edge[0], COPIES)) != "mean":
        return False
    samples = target.expand(torch.broadcast_shapes(*(value.shape for value in compared if value is not None)))
    return bool((samples == samples[:1]).all())


def _called(readings: Readings, node: int) -> str:
    """The error as people call it."""
    op, name = readings.op(node), readings.name(node)
    if op in POWERS:
        return f"the {'absolute' if op == 'abs' else 'squared'} errors {name}"
    return f"{readings.function(node)} {name}"
