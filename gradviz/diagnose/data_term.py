"""A model that the loss reads through cuts alone, while a regulariser keeps its parameters' gradients from being None.

A cut is a call in the graph, as `detach`, or a term of the loss that is a Python number, as of `.item()` or `float()`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradviz.diagnose.finding import Finding, Numbers, found, listed
from gradviz.diagnose.readings import COPIES, MATRIX_PRODUCTS, Readings
from gradviz.diagnose.ways import cuts_behind, main_cut
from gradviz.graph import Use

ON_DATA = MATRIX_PRODUCTS | {"embedding", "gather", "index", "index_select"}
"""Calls that bring parameters and data together; a penalty on a parameter's size has none."""
DIGITS = 3
"""A number of so few decimal places may have been written by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberTerm:
    """A term of the loss that is a Python number, made of data and weights which get no other gradient of data.

    Attributes:
        node: the call that adds it.
        number: the term.
        read: the number that the code read of the model.
        names: the weights.
    """

    node: int
    number: float
    read: float
    names: list[str]


def data_term(readings: Readings) -> Iterator[Finding]:
    """Told once per cut: the weights that meet data only in front of it, and get a gradient that knows no data."""
    yield from _cut_terms(readings)
    for term in number_terms(readings):
        source = readings.graph.numbers_read()[term.read]
        yield found(
            readings.graph,
            "cut-from-loss",
            "error",
            f"what {listed(term.names)} make of data is added to the loss as the Python number {term.number:.4g}"
            f"{source and f', read at {source} by .item() or float()'}: autograd takes it for a constant; the gradient that "
            "is left is that of a regulariser, which knows no data",
            "add the tensor itself to the loss; read .item() only for what is printed",
            node=term.node,
            numbers=_numbers(readings, term.names) | {"number": term.number},
        )


def number_terms(readings: Readings) -> Iterator[NumberTerm]:
    """A number that is not what was read, as a half of it, counts too: nobody adds a constant to a loss for its own sake."""
    graph = readings.graph
    numbers_of: dict[float, tuple[str, ...]] = graph.graph.get("numbers_of", {})
    behind = {
        number: [
            name
            for name in names
            if graph.cotangent(leaf := graph.leaves[name]) is not None and not _meets_data(readings, leaf)
        ]
        for number, names in numbers_of.items()
    }
    known = {number: names for number, names in behind.items() if names}
    for node in readings.ops if known else ():
        for number in _added(readings, node):
            read = min(known, key=lambda one: abs(one - number))
            if number != round(number, DIGITS) and _is_a_sum(readings, node):
                yield NumberTerm(node=node, number=number, read=read, names=known[read])


def _is_a_sum(readings: Readings, node: int) -> bool:
    """Whether what is added at a node is a term of the loss, and not of a number that is squared or scaled on."""
    return all(readings.op(head) in COPIES | {"add", "sub", "sum", "mean"} for head in readings.ahead_of(node))


def _added(readings: Readings, node: int) -> list[float]:
    """The numbers that a sum or difference adds to one number with a gradient."""
    call, cotangent = readings.graph.nodes[node]["call"], readings.graph.cotangent(node)
    if readings.op(node) not in ("add", "sub", "rsub") or call is None or cotangent is None or cotangent.numel() != 1:
        return []
    constants = [readings.value_of(use) for use in readings.arguments[node] if readings.op(use.edge[0]) == ""]
    numbers = [value.item() for value in constants if value is not None and value.ndim == 0 and not value.requires_grad]
    return [number for number in (*call.args[:2], *numbers) if isinstance(number, float)]


def _cut_terms(readings: Readings) -> Iterator[Finding]:
    graph = readings.graph
    behind: dict[tuple[str, str], list[str]] = {}
    cuts: dict[tuple[str, str], Use] = {}
    for name, leaf in graph.leaves.items():
        if graph.cotangent(leaf) is None or not _only_regularised(readings, leaf):
            continue
        if behind_leaf := list(cuts_behind(graph, leaf)):
            use = main_cut(graph, behind_leaf)
            where = (graph.nodes[use.edge[1]]["source"], use.cut)
            behind.setdefault(where, []).append(name)
            cuts[where] = use
    for where, names in behind.items():
        tail, head, _ = cuts[where].edge
        yield found(
            graph,
            "cut-from-loss",
            "error",
            f"what {listed(names)} make of data leads to the loss only through a cut: {readings.op(head)} from "
            f"{readings.name(tail)} to {readings.name(head)} ({cuts[where].cut}); the gradient that is left is that of a "
            "regulariser, which knows no data",
            "take the cut out (.detach(), .data, torch.no_grad()), so that the term with the data is differentiated",
            edge=cuts[where].edge,
            numbers=_numbers(readings, names),
        )


def _numbers(readings: Readings, names: list[str]) -> Numbers:
    norms = {name: readings.norm(readings.graph.cotangent(readings.graph.leaves[name])) for name in names}
    largest = max(norms, key=lambda name: norms[name])
    return {
        "weights without a gradient from data": len(names),
        f"gradient norm of {largest}, from the regulariser": norms[largest],
    }


def _only_regularised(readings: Readings, leaf: int) -> bool:
    """Whether a weight meets data in calls that get no gradient, and no gradient came to it through such calls."""
    graph = readings.graph
    if not any(readings.op(user) in ON_DATA and graph.cotangent(user) is None for user in readings.users(leaf)):
        return False
    return not _meets_data(readings, leaf)


def _meets_data(readings: Readings, leaf: int) -> bool:
    """Whether the gradient of a weight came through a call that brings it together with data."""
    return any(readings.op(node) in ON_DATA for node in readings.ahead_of(leaf))
