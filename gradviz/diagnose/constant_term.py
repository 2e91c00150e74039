"""A term of the loss that is made of a derivative which `autograd.grad` gave without `create_graph=True`: a constant.

A gradient penalty, or the residual of a differential equation, is then there in the loss and in none of its gradients. What
was detached is meant, and so is a derivative of a model that learns nothing from this loss, as a teacher's or a score's, and
a term that a factor of 0 switches off.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.nothing_learned import is_times_zero
from gradviz.diagnose.readings import SUMMING, Readings
from gradviz.graph import Use

BACKWARD = "_backward"
"""How the functions end that only a backward pass calls."""
WEIGHTING = frozenset({"mul", "div", "mv", "dot"})
"""What weights terms, by numbers or by a constant."""
JOINING = frozenset({"stack", "cat"})
ADDING = JOINING | {"add", "sub"}


def constant_term(readings: Readings) -> Iterator[Finding]:
    """One for each such term."""
    graph = readings.graph
    for use in constants_added(readings):
        term = use.edge[0]
        made_of = readings.made_of(term) | {term}
        derivative = max((one for one in made_of if readings.op(one).endswith(BACKWARD)), default=None)
        if derivative is None or not _is_of_what_learns(readings, made_of) or _is_detached(readings, derivative, made_of):
            continue
        if is_times_zero(readings, term):
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


def _is_of_what_learns(readings: Readings, made_of: set[int]) -> bool:
    """Whether the loss trains any of the parameters that a derivative was made with; without modules, any leaf will do."""
    nodes = readings.graph.nodes
    leaves = [one for one in made_of if nodes[one]["kind"] == "leaf" and nodes[one]["requires_grad"]]
    if any(data["root"] for _, data in nodes(data=True) if data["kind"] == "leaf"):
        return any(nodes[leaf]["root"] and readings.graph.cotangent(leaf) is not None for leaf in leaves)
    return bool(leaves)


def _is_detached(readings: Readings, derivative: int, made_of: set[int]) -> bool:
    """Whether code detaches what it makes of the derivative: a graph of that would change nothing."""
    return any(readings.op(one) == "detach" and derivative in readings.made_of(one) for one in made_of)


def constants_added(readings: Readings) -> Iterator[Use]:
    """The edges by which a computed value without a gradient is added to the loss or to a term of it, or joins its terms.

    What is added to a leaf is its update, as the first-order steps of meta-learning are, and so is what is added to that.
    """
    graph = readings.graph
    pending = [] if graph.loss is None else [graph.loss[0]]
    seen = set(pending)
    while pending:
        node = pending.pop()
        op, uses = readings.op(node), readings.arguments[node]
        if op not in SUMMING | WEIGHTING or (op in WEIGHTING and not _only_weights(op, uses)):
            continue
        is_update = any(_is_updated(readings, use.edge[0]) for use in uses)
        for use in uses:
            tail = use.edge[0]
            if use.partial is not None and tail not in seen:
                seen.add(tail)
                pending.append(tail)
            elif use.partial is None and op in ADDING and graph.nodes[tail]["kind"] == "op" and not is_update:
                yield use


def _only_weights(op: str, uses: list[Use]) -> bool:
    """Whether one factor alone has a gradient, and is no denominator."""
    return [use.edge[2] for use in uses if use.partial is not None] in ([[0], [1]] if op != "div" else [[0]])


def _is_updated(readings: Readings, node: int) -> bool:
    """Whether a value is a leaf, or one to which constants alone were added."""
    while readings.graph.nodes[node := readings.behind(node)]["kind"] == "op":
        learning = [use for use in readings.arguments[node] if use.partial is not None]
        if readings.op(node) not in ("add", "sub") or len(learning) != 1:
            return False
        node = learning[0].edge[0]
    return bool(readings.graph.nodes[node]["kind"] == "leaf")
