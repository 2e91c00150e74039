"""How the entries of a report are called, and their formulas as text; what is the same for many edges is derived once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import Tensor

from gradviz.check.custom_formula import custom_formula
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.graph import Edge, GradGraph
from gradviz.moves import moved_as
from gradviz.signs import derivative_sign
from gradviz.symbolic import formula_text, local_formula

_KNOWN: dict[Hashable, str] = {}
_KNOWN_UP_TO = 4096


def edge_name(graph: GradGraph, edge: Edge) -> str:
    """`∂c/∂a`; where the head uses the value twice also which argument it is, `∂c/∂a (other)`."""
    tail, head, key = edge
    output = graph.edges[edge]["output"]
    name = derivative_sign(graph.nodes[head]["name"], graph.output_name(tail, output))
    uses = [use for use in graph.arguments_of(head) if use.edge[0] == tail and use.output == output]
    if len(uses) < 2:
        return name
    return f"{name} ({graph.edges[edge]['argument'] or f'argument {key}'})"


def edge_formula(head: HeadUnderCheck, edge: EdgeUnderCheck, graph: GradGraph) -> str:
    """The partial in the names of the graph; "" where no short form is known."""
    call = head.call
    if call is None:
        return custom_formula(head, edge, graph)
    names = tuple(graph.argument_names(head.node))
    output = graph.output_name(head.node, next(iter(edge.partials)))
    key = (call.overload, _options(call.args), _options(tuple(call.kwargs.items())), edge.position, names, output)
    known = _KNOWN.get(key)
    if known is None:
        formula = local_formula(call, edge.position, names, output)
        known = "" if formula is None else formula_text(formula)
        if known == "1" and edge.in_numel > 1:  # said of one element, it would be read as the whole
            known = moved_as(call.op) or known
        if len(_KNOWN) >= _KNOWN_UP_TO:
            _KNOWN.clear()
        _KNOWN[key] = known
    return known


def _options(value: Any) -> Hashable:
    """A call's arguments as a key: tensors by what a formula reads of them."""
    if isinstance(value, Tensor):
        return ("tensor", tuple(value.shape), value.dtype)
    if isinstance(value, (list, tuple)):
        return tuple(_options(item) for item in value)
    return (type(value).__name__, value if isinstance(value, (int, float, str, bool)) else repr(value))
