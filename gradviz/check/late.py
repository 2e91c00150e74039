"""What a check did not reach before its time was up: entries without a verdict, made without a look at any number.

A graph may have a hundred thousand nodes. What is said of those that are left must not take longer than the check was
given: no formulas, no values, nothing that is kept to be computed again.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.check.formulas import edge_name
from gradviz.check.heads import is_floating, rounded_dtype
from gradviz.check.options import Meant
from gradviz.check.report import EdgeCheck, NodeCheck, SumCheck
from gradviz.graph import Edge, GradGraph
from gradviz.symbolic import OutOfTime

OUT_OF_TIME = str(OutOfTime())


def edges_not_reached(graph: GradGraph, node: int, wanted: frozenset[Edge] | None, meant: Meant) -> Iterator[EdgeCheck]:
    """The differentiable edges into a node, those of `wanted` only when given."""
    source = graph.nodes[node]["source"]
    for edge in sorted(graph.in_edges(node, keys=True), key=lambda edge: edge[2]):
        if graph.edges[edge]["partial"] is None or (wanted is not None and edge not in wanted):
            continue
        name = edge_name(graph, edge)
        if node in meant.functions:
            yield EdgeCheck(edge=edge, name=name, source=source, verdict="intended")
        else:
            yield EdgeCheck(edge=edge, name=name, source=source, verdict="unverified", reason=OUT_OF_TIME)


def value_not_reached(graph: GradGraph, node: int) -> Iterator[NodeCheck]:
    """The value of a node, if a check looks at it."""
    attributes = graph.nodes[node]
    if attributes["requires_grad"] and any(is_floating(attributes, place) for place in attributes["outputs"]):
        formula, dtype = attributes["expression"], rounded_dtype(attributes)
        name = attributes["name"]
        yield NodeCheck(node=node, name=name, formula=formula, dtype=dtype, verdict="unverified", reason=OUT_OF_TIME)


def sum_not_reached(graph: GradGraph, node: int) -> Iterator[SumCheck]:
    """The sum of contributions into a node, if there are any."""
    attributes = graph.nodes[node]
    uses = graph.out_edges(node, data=True)
    count = sum(use["contribution"] is not None and use["output"] in attributes["outputs"] for _, _, use in uses)
    if count:
        name = attributes["name"]
        yield SumCheck(node=node, name=name, contributions=count, verdict="unverified", reason=OUT_OF_TIME)
