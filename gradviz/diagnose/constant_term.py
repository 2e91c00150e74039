"""A term of the loss that is made of a derivative which `autograd.grad` gave without `create_graph=True`: a constant.

A gradient penalty, or the residual of a differential equation, is then there in the loss and in none of its gradients.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.readings import SUMMING, Readings
from gradviz.graph import Use

BACKWARD = "_backward"
"""How the functions end that only a backward pass calls."""


def constant_term(readings: Readings) -> Iterator[Finding]:
    """One for each such term."""
    graph = readings.graph
    for use in _constants(readings):
        term = use.edge[0]
        made_of = readings.made_of(term) | {term}
        derivative = max((one for one in made_of if readings.op(one).endswith(BACKWARD)), default=None)
        if derivative is None or not any(graph.nodes[one]["requires_grad"] for one in made_of):
            continue
        value = readings.value_of(use)
        numbers: Numbers = {} if value is None or value.numel() != 1 else {"term": float(value)}
        yield found(
            graph,
            "no-grad",
            "warning",
            f"{readings.name(term)} is added to the loss, but is a constant: it is made of a derivative that was taken "
            "without a graph of its own, so no gradient goes through it",
            "pass create_graph=True to the torch.autograd.grad that takes the derivative",
            edge=use.edge,
            numbers=numbers,
        )


def _constants(readings: Readings) -> Iterator[Use]:
    """The edges by which a computed value without a gradient is added to the loss or to a term of it.

    What is added to a leaf is its update, as the first-order steps of meta-learning are.
    """
    graph = readings.graph
    pending = [] if graph.loss is None else [graph.loss[0]]
    seen = set(pending)
    while pending:
        node = pending.pop()
        op, uses = readings.op(node), readings.arguments[node]
        if op not in SUMMING or (op in ("mul", "div") and len(uses) > 1):
            continue
        is_update = any(graph.nodes[readings.behind(use.edge[0])]["kind"] == "leaf" for use in uses)
        for use in uses:
            tail = use.edge[0]
            if use.partial is not None and tail not in seen:
                seen.add(tail)
                pending.append(tail)
            elif use.partial is None and op in ("add", "sub") and graph.nodes[tail]["kind"] == "op" and not is_update:
                yield use
