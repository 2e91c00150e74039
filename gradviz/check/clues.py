"""What is told beside a verdict: which slip makes such numbers, where their digits were lost, or where NaN began."""

from __future__ import annotations

import math
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import as_array
from gradviz.check.cancellation import lost_in_formula, lost_in_graph
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.check.judge import Comparison
from gradviz.check.not_finite import nan_begins
from gradviz.check.slips import likely_slip
from gradviz.graph import GradGraph
from gradviz.standin import is_kept
from gradviz.symbolic import local_formula, method_of


def add_clues(graph: GradGraph, head: HeadUnderCheck, edge: EdgeUnderCheck) -> None:
    """To an edge that is wrong or has lost digits."""
    comparison = edge.comparison
    if comparison.evidence is not None and comparison.is_wrong:
        tail = graph.output_name(edge.edge[0], edge.use.output)
        comparison.slip = likely_slip(comparison.evidence, tail, _values_around(graph, head))
    elif comparison.is_wrong and comparison.quantity == "slope" and comparison.reference == 0:
        comparison.slip = "a gradient where there is none"
    elif comparison.is_wrong and comparison.quantity != "slope":  # which the node alone was asked for, without any hook
        comparison.slip = _changed_by(graph, edge)
    elif comparison.finding == "cancellation":
        comparison.lost = "backward()" if head.call is None else _lost_in_partial(graph, head, edge)


def add_clues_to_leaf(graph: GradGraph, leaf: int, comparison: Comparison) -> None:
    """To a whole gradient that has lost digits, or is wrongly NaN."""
    if comparison.finding == "cancellation":
        comparison.lost = lost_in_graph(graph)
    elif comparison.is_wrong and comparison.autograd is not None and math.isnan(comparison.autograd):
        comparison.begins = nan_begins(graph, leaf)


def _changed_by(graph: GradGraph, edge: EdgeUnderCheck) -> str:
    """What may have changed a contribution on its way, where no number of the derivative is wrong."""
    if edge.changed_by or any(partial.writes_to_cotangent() for partial in edge.partials.values()):
        return ""
    function = graph.custom_function(edge.edge[0])
    uses = graph.arguments_of(edge.edge[0]) if function is not None else []
    if function is not None and any(use.partial is not None and use.partial.writes_to_cotangent() for use in uses):
        return f"{function.name}.backward() at {function.backward_source} writes to the cotangent that it is handed"
    if (asked := graph.custom_function(edge.edge[1])) is not None:
        return f"{asked.name}.backward() gives other numbers where it runs again, as one that counts its calls does"
    return "a hook changed it that was there only while the backward pass ran, or that is none of Python's"


def _values_around(graph: GradGraph, head: HeadUnderCheck) -> dict[str, NDArray[np.float64]]:
    """The arguments and the results of a node, by name; arguments first."""
    values = {
        graph.output_name(use.edge[0], use.output): graph.value(use.edge[0], use.output)
        for use in graph.arguments_of(head.node)
    }
    values |= {graph.output_name(head.node, place): value for place, value in head.outputs.items()}
    return {name: as_array(value) for name, value in values.items() if _is_real(value)}


def _is_real(value: Tensor | None) -> TypeGuard[Tensor]:
    return value is not None and not value.is_complex() and is_kept(value)


def _lost_in_partial(graph: GradGraph, head: HeadUnderCheck, edge: EdgeUnderCheck) -> str:
    """In the formula of an elementwise call, at the element that is shown."""
    call, place = head.call, next(iter(edge.partials))
    index = edge.comparison.index or ()
    shape = head.shape(place)
    if call is None or method_of(call.overload) != "pointwise" or len(index) < len(shape):
        return ""
    output = graph.output_name(head.node, place)
    formula = local_formula(call, edge.position, graph.argument_names(head.node), output)
    if formula is None:
        return ""
    numbers = {
        name: float(np.broadcast_to(value, shape)[index[: len(shape)]])
        for name, value in _values_around(graph, head).items()
    }
    return lost_in_formula(formula, numbers)
