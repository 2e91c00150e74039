"""What a second backward pass loses: numbers that a forward() made under no_grad, saved, and its backward() reads.

Where a gradient is differentiated again, such a number counts as a constant, though it depends on the arguments: the edges
are all right, and yet the second derivative lacks a term. backward() is to compute it again, or forward() to return it.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.attributes import NO_WAY
from gradviz.graph import GradGraph
from gradviz.opcall import OpCall
from gradviz.symbolic import RULES, NoGradient

_FLAT = frozenset({"ceil", "floor", "heaviside", "round", "sgn", "sign", "trunc"})
"""Ops whose derivative is 0 wherever there is one."""


def lost_in_second_backward(graph: GradGraph) -> dict[int, str]:
    """Node -> why the gradient that reaches it, or what comes before it, may lack a term."""
    found: dict[int, str] = {}
    for node, attributes in graph.nodes(data=True):
        function = _inside(attributes["scope"], ".backward")
        if not function or not _leads_on(graph, node):
            continue
        for use in graph.arguments_of(node):
            if use.partial is not None or not _is_floating(graph.value(use.edge[0], use.output)):
                continue
            for source in _depends_on(graph, use.edge[0], use.output, function):
                what = f"at {attributes['source']}" if attributes["source"] else f"in {attributes['name']}"
                why = (
                    f"{function}.backward() reads {what} a value that forward() computed of {graph.nodes[source]['name']}, "
                    "and that counts as a constant where the gradient is differentiated again: compute it in backward(), "
                    "or return it from forward() too"
                )
                for before in _fed_by(graph, source):
                    found.setdefault(before, why)
    return found


def _fed_by(graph: GradGraph, node: int) -> set[int]:
    """The node and all that its gradient goes on to."""
    behind, seen = [node], {node}
    while behind:
        tails = {use.edge[0] for use in graph.arguments_of(behind.pop()) if use.partial is not None} - seen
        seen |= tails
        behind += tails
    return seen


def _inside(scope: tuple[str, ...], method: str) -> str:
    """The class whose method an op lies directly in; "" where it lies in none of this name."""
    return scope[-1].removesuffix(method) if scope and scope[-1].endswith(method) else ""


def _is_floating(value: Tensor | None) -> bool:
    return value is not None and (value.is_floating_point() or value.is_complex())


def _is_flat(call: OpCall | None) -> bool:
    return call is None or call.op in _FLAT or isinstance(RULES.get(call.overload), NoGradient)


def _leads_on(graph: GradGraph, node: int) -> bool:
    """Whether a value that is made in backward() goes, as a constant, into what is differentiated again."""
    ahead, seen = [node], set[int]()
    while ahead:
        one = ahead.pop()
        attributes = graph.nodes[one]
        if one in seen or attributes["op"] == "detach" or _is_flat(attributes["call"]):
            continue
        seen.add(one)
        if any(use.partial is not None for use in graph.arguments_of(one)):
            return True
        ahead += [use.edge[1] for use in graph.uses_of(one) if _inside(graph.nodes[use.edge[1]]["scope"], ".backward")]
    return False


def _depends_on(graph: GradGraph, node: int, output: int, function: str) -> Iterator[int]:
    """The differentiable nodes that such a value was made of; none where it is no value of this forward's own."""
    attributes = graph.nodes[node]
    if graph.custom_function(node) is not None or attributes["inner_calls"]:
        uses = [use for use in graph.arguments_of(node) if use.partial is not None]
        results = {place for use in uses for place in graph.partials_of(use.edge)} if uses else attributes["differentiable"]
        if attributes["op"] == function and output not in results:
            yield from _read_by_calls(graph, node, output)
        return
    behind, seen = [node], set[int]()
    while behind:
        one = behind.pop()
        attributes = graph.nodes[one]
        if one in seen or _inside(attributes["scope"], ".forward") != function or _is_flat(attributes["call"]):
            continue
        seen.add(one)
        for use in graph.arguments_of(one):
            tail = use.edge[0]
            if not _is_floating(graph.value(tail, use.output)):
                continue
            if _inside(graph.nodes[tail]["scope"], ".forward") == function:
                behind.append(tail)
            elif use.cut == "no_grad":
                yield tail


def _read_by_calls(graph: GradGraph, node: int, output: int) -> Iterator[int]:
    """The arguments of a custom Function from which its forward's calls lead to a value that is no result of it."""
    attributes = graph.nodes[node]
    reached = {id(graph.value(node, output))}
    for call in reversed(attributes["inner_calls"]):
        if not _is_flat(call) and any(id(made) in reached for made in call.outputs):
            reached |= {id(argument.tensor) for argument in call.tensor_arguments() if _is_floating(argument.tensor)}
    snapshots = attributes["inner_inputs"]
    for use in graph.arguments_of(node):
        position, leads_on = use.edge[2], use.partial is not None or use.cut == NO_WAY
        if leads_on and position < len(snapshots) and id(snapshots[position]) in reached:
            yield use.edge[0]
