"""Why no gradient reaches a value, why one is zero, or where one stopped being a number."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.explain import sentences as say
from gradviz.explain.terms import Line
from gradviz.explain.wanted import Wanted
from gradviz.graph import Edge, GradGraph, Use

MAX_CUTS = 8
MAX_EDGES = 4


def why_none(wanted: Wanted) -> list[Line]:
    """For a value that no path leads from: where each way to the output is cut."""
    graph, node = wanted.graph, wanted.node
    if not graph.nodes[node]["requires_grad"]:
        return [say.needs_no_gradient(wanted.name)]
    if not graph.uses_of(node):
        return [say.unused(wanted.name)]
    cuts = list(_cuts(graph, node))
    found: list[Line] = [say.no_gradient(wanted.name)]
    for use in cuts[:MAX_CUTS]:
        tail, head, _ = use.edge
        found.append(say.cut_at(graph.nodes[head]["name"], graph.output_name(tail, use.output), use.cut))
    if len(cuts) > MAX_CUTS:
        found.append(say.left_out(len(cuts) - MAX_CUTS, "cut"))
    return found


def why_odd(wanted: Wanted) -> list[Line]:
    """For a gradient that is zero everywhere, or not finite somewhere: the edges that made it so."""
    gradient = wanted.paths.gradient
    if gradient is None or not gradient.numel() or gradient.layout is not torch.strided:
        return []
    if not _is_finite(gradient):
        broken = [
            use for use, cotangent in _on_the_way(wanted) if _is_finite(cotangent) and not _is_finite(use.contribution)
        ]
        return [say.not_finite(wanted.derivative(use)) for use in broken[:MAX_EDGES]]
    if bool((gradient != 0).any()):
        return []
    zero = [use for use, cotangent in _on_the_way(wanted) if not _is_zero(cotangent) and _is_zero(use.contribution)]
    if _reaches_an_output(wanted, {use.edge for use in zero}):
        return [say.zero_by_cancelling(wanted.name)]
    return [say.zero_because(wanted.derivative(use), wanted.name) for use in zero[:MAX_EDGES]]


def _cuts(graph: GradGraph, node: int) -> Iterator[Use]:
    """The edges behind a value at which the gradient stops."""
    seen, pending = {node}, [node]
    while pending:
        for use in graph.uses_of(pending.pop()):
            if use.cut:
                yield use
            elif use.edge[1] not in seen:
                seen.add(use.edge[1])
                pending.append(use.edge[1])


def _on_the_way(wanted: Wanted) -> Iterator[tuple[Use, Tensor]]:
    """The edges on paths that a cotangent reached and that passed something on, the output's first."""
    for head in reversed(wanted.between):
        cotangent = wanted.graph.cotangent(head)
        for use in wanted.uses_into(head):
            if cotangent is not None and use.contribution is not None:
                yield use, cotangent


def _reaches_an_output(wanted: Wanted, without: set[Edge]) -> bool:
    """Whether a path is left that uses none of these edges."""
    ends = {node for node, _ in wanted.graph.starting_cotangents()}
    seen, pending = {wanted.node}, [wanted.node]
    while pending:
        node = pending.pop()
        if node in ends:
            return True
        for use in wanted.graph.uses_of(node):
            if use.partial is not None and use.edge not in without and use.edge[1] not in seen:
                seen.add(use.edge[1])
                pending.append(use.edge[1])
    return False


def _is_finite(tensor: Tensor | None) -> bool:
    return tensor is not None and bool(torch.isfinite(tensor).all())


def _is_zero(tensor: Tensor | None) -> bool:
    return tensor is not None and not bool((tensor != 0).any())
