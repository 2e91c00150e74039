"""A model that the loss reads through cuts alone, while a regulariser keeps its parameters' gradients from being None."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.no_gradient import listed
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings
from gradviz.diagnose.ways import cuts_behind
from gradviz.graph import Use

ON_DATA = MATRIX_PRODUCTS | {"embedding"}
"""Calls that bring parameters and data together; a penalty on a parameter's size has none."""


def data_term(readings: Readings) -> Iterator[Finding]:
    """Told once per cut: the weights that meet data only in front of it, and get a gradient that knows no data."""
    graph = readings.graph
    behind: dict[tuple[str, str], list[str]] = {}
    cuts: dict[tuple[str, str], Use] = {}
    for name, leaf in graph.leaves.items():
        if graph.cotangent(leaf) is None or not _only_regularised(readings, leaf):
            continue
        use = max(cuts_behind(graph, leaf), key=lambda cut: cut.edge[1], default=None)
        if use is not None:
            where = (graph.nodes[use.edge[1]]["source"], use.cut)
            behind.setdefault(where, []).append(name)
            cuts[where] = use
    for where, names in behind.items():
        tail, head, _ = cuts[where].edge
        largest = max(names, key=lambda name: readings.norm(graph.cotangent(graph.leaves[name])))
        yield found(
            graph,
            "cut-from-loss",
            "error",
            f"what {listed(names)} make of data leads to the loss only through a cut: {readings.op(head)} from "
            f"{readings.name(tail)} to {readings.name(head)} ({cuts[where].cut}); the gradient that is left is that of a "
            "regulariser, which knows no data",
            "take the cut out (.detach(), .data, torch.no_grad()), so that the term with the data is differentiated",
            edge=cuts[where].edge,
            numbers={
                "weights without a gradient from data": len(names),
                f"gradient norm of {largest}, from the regulariser": readings.norm(graph.cotangent(graph.leaves[largest])),
            },
        )


def _only_regularised(readings: Readings, leaf: int) -> bool:
    """Whether a weight meets data in calls that get no gradient, and no gradient came to it through such calls."""
    graph = readings.graph
    if not any(readings.op(user) in ON_DATA and graph.cotangent(user) is None for user in readings.users(leaf)):
        return False
    return all(readings.op(node) not in ON_DATA for node in readings.ahead_of(leaf))
