"""A whole term of the loss that was detached: it changes the number that is printed, and nothing that is learned.

It is added, or is one of a list, `torch.stack(losses).sum()`. The leaves behind it have gradients, of the other terms, so
that nothing is missing where one looks. A value that stands in for another's, as in `surrogate + (value -
surrogate).detach()` or `surrogate - surrogate.detach() + value.detach()`, a reference that is subtracted, a shift that other
calls take away first, as a largest score that keeps exponentials small, and what is computed a second time beside a term
with a gradient, are meant.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.constant_term import JOINING, constants_added
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.negated_loss import ERRORS, POWERS
from gradviz.diagnose.nothing_learned import is_times_zero
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use

LOSSES = ERRORS | POWERS | {"kl_div", "xlogy", "softplus", "soft_margin_loss", "log_sigmoid_forward", "linalg_vector_norm"}
"""What measures an error, or a size, of each sample or of all."""
_REDUCING = COPIES - {"detach", "index", "cat", "stack"} | {"mean", "sum", "neg"}


def detached_term(readings: Readings) -> Iterator[Finding]:
    """One for each such term that nothing else passes a gradient of."""
    graph, constants = readings.graph, list(constants_added(readings))
    if any(_takes_away_what_learns(readings, use) for use in constants):
        return
    sums = {use.edge[1] for use in constants}
    for use in constants:
        value = readings.value_of(use)
        detach = _detach(readings, use.edge[0]) if readings.op(use.edge[1]) != "sub" else None
        if detach is None or value is None or value.numel() != 1 or not readings.has_elements(value):
            continue
        if not _is_of_terms(readings, use) or not _is_a_lost_loss(readings, detach):
            continue
        if any(graph.cotangent(other.edge[1]) is not None for other in graph.uses_of(detach) if other.edge[1] not in sums):
            continue
        term = readings.arguments[detach][0].edge[0]
        yield found(
            graph,
            "detached",
            "hint",
            f"the term {readings.name(term)} of the loss is detached: it adds to the number that is printed, and nothing "
            "learns from it",
            "take .detach() out; where the term is only to be told, add it to what is printed, not to the loss",
            edge=readings.arguments[detach][0].edge,
            numbers={"added": float(value)},
        )


def _detach(readings: Readings, node: int) -> int | None:
    """The `detach` that a constant term is, or a multiple of, by a number that is not 0."""
    while readings.op(node) != "detach":
        if not _is_a_multiple(readings, node) or is_times_zero(readings, node):
            return None
        node = readings.arguments[node][0].edge[0]
    return node


def _is_of_terms(readings: Readings, use: Use) -> bool:
    """Whether a constant is added to one number, or is one of several that are joined and summed up, none times 0."""
    head, uses = use.edge[1], readings.arguments[use.edge[1]]
    if readings.op(head) not in JOINING:
        return next((value.numel() for value in readings.values(head)), 1) == 1
    arrived, values = next(readings.cotangents(head), None), [readings.value_of(one) for one in uses]
    if arrived is None or not readings.has_elements(arrived) or any(one is None or one.numel() != 1 for one in values):
        return False
    return arrived.numel() == len(uses) and bool(arrived.reshape(-1)[use.edge[2]] != 0)


def _takes_away_what_learns(readings: Readings, use: Use) -> bool:
    """Whether a constant is minus the number of a value that has a gradient, for which other constants stand in."""
    node, is_minus = use.edge[0], readings.op(use.edge[1]) == "sub" and use.edge[2] == 1
    while readings.op(node) != "detach":
        if not _is_a_multiple(readings, node):
            return False
        is_minus ^= readings.op(node) == "neg"
        node = readings.arguments[node][0].edge[0]
    return is_minus and readings.graph.cotangent(readings.arguments[node][0].edge[0]) is not None


def _is_a_lost_loss(readings: Readings, detach: int) -> bool:
    """Whether what was detached is an error of what learns, and no term with a gradient tells the same or is part of it."""
    graph = readings.graph
    term = readings.arguments[detach][0].edge[0]
    value = graph.value(term, readings.arguments[detach][0].output)
    if not graph.nodes[term]["requires_grad"] or value is None or value.numel() != 1 or not readings.has_elements(value):
        return False
    if graph.cotangent(term) is not None or not _measures(readings, term):
        return False
    made_of = readings.made_of(term)
    learning = [one for one in made_of if graph.nodes[one]["kind"] == "leaf" and graph.nodes[one]["requires_grad"]]
    if not learning or any(graph.cotangent(leaf) is None for leaf in learning):
        return False  # what gets no gradient at all is told as such
    for node in readings.ops:
        known = graph.value(node) if graph.cotangent(node) is not None else None
        if known is None or known.numel() != 1 or not readings.has_elements(known):
            continue
        if node in made_of or (readings.op(node) == readings.op(term) and float(known) == float(value)):
            return False
    return True


def _measures(readings: Readings, term: int) -> bool:
    """Whether a term sums up an error or a size, or is a multiple of one, or of a sum with one."""
    pending, seen = [term], {term}
    while pending:
        node = pending.pop()
        op = readings.op(node)
        if op in LOSSES:
            return True
        tails = {use.edge[0] for use in readings.arguments[node]} - seen
        if op in ("add", "sub") or _is_a_multiple(readings, node):
            seen |= tails
            pending += tails
    return False


def _is_a_multiple(readings: Readings, node: int) -> bool:
    """Whether a call sums up or moves one value, or multiplies it by a number."""
    op, uses = readings.op(node), readings.arguments[node]
    return bool(uses) and (op in _REDUCING or (op in ("mul", "div") and len(uses) == 1))
