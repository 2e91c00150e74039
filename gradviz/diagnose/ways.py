"""Edges at which a gradient stops, turns into zeros, or stops being finite: findings and explanations both tell of them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence

import networkx as nx
import torch
from torch import Tensor

from gradviz.attributes import NO_WAY
from gradviz.graph import Edge, GradGraph, Use
from gradviz.view.summary import kept_statistics


def cuts_behind(graph: GradGraph, node: int) -> Iterator[Use]:
    """The edges behind a value at which the gradient stops, each with its reason."""
    seen, pending = {node}, [node]
    while pending:
        for use in graph.uses_of(pending.pop()):
            if use.cut and use.cut != NO_WAY:
                yield use
            elif use.edge[1] not in seen:
                seen.add(use.edge[1])
                pending.append(use.edge[1])


def main_cut(graph: GradGraph, cuts: Sequence[Use]) -> Use:
    """Of several cuts that one by which most numbers go on to the output, at the narrowest place before others join.

    A statistic that was detached is one number. Of as many numbers a comparison comes last, as it makes masks; else the
    later call counts.
    """
    heads = {use.edge[1] for use in cuts}
    if len(heads) < 2:
        return max(cuts, key=lambda use: use.edge[1])
    after = heads.union(*(nx.descendants(graph, head) for head in heads))
    waiting = {node: math.inf for node in graph.outputs if node in after}
    widths: dict[int, float] = {}
    for node in sorted(after, reverse=True):
        if node not in waiting:
            continue
        width = widths[node] = min(waiting.pop(node), _elements(graph, node))
        is_shared = not waiting and heads.isdisjoint(widths)  # the way of every cut leads through this node
        from_here = math.inf if is_shared else width
        tails = {use.edge[0] for use in graph.arguments_of(node)} & after
        waiting |= {tail: max(waiting.get(tail, 0), from_here) for tail in tails}
    return max(cuts, key=lambda use: (widths.get(use.edge[1], 0), use.cut != "boolean", use.edge[1]))


def _elements(graph: GradGraph, node: int) -> int:
    shape = graph.nodes[node]["shape"]
    shapes = [one for one in shape if one is not None] if isinstance(graph.nodes[node]["value"], tuple) else [shape]
    return max(map(math.prod, shapes), default=1)


def withheld_behind(graph: GradGraph, node: int) -> Iterator[Use]:
    """The edges behind a value into custom Functions that get a cotangent, and whose backward gives None for the edge."""
    seen, pending = {node}, [node]
    while pending:
        for use in graph.uses_of(pending.pop()):
            head = use.edge[1]
            if use.partial is None or head in seen:
                continue
            if use.contribution is None and graph.cotangent(head) is not None and graph.custom_function(head) is not None:
                yield use
            else:
                seen.add(head)
                pending.append(head)


def turned_not_finite(graph: GradGraph, heads: Iterable[int], tails: Collection[int]) -> Iterator[Use]:
    """The edges that turn a finite cotangent into NaN or infinity, in the order of `heads`."""
    for use, cotangent in _passing(graph, heads, tails):
        if is_finite(cotangent) and not is_finite(use.contribution):
            yield use


def turned_zero(graph: GradGraph, heads: Iterable[int], tails: Collection[int]) -> Iterator[Use]:
    """The edges that pass on nothing but zeros although their cotangent is not zero, in the order of `heads`."""
    for use, cotangent in _passing(graph, heads, tails):
        if not is_zero(cotangent) and is_zero(use.contribution):
            yield use


def reaches_an_output(graph: GradGraph, node: int, without: Collection[Edge]) -> bool:
    """Whether a path from a value to an output is left that uses none of these edges."""
    ends = {end for end, _ in graph.starting_cotangents()}
    seen, pending = {node}, [node]
    while pending:
        node = pending.pop()
        if node in ends:
            return True
        for use in graph.uses_of(node):
            if use.partial is not None and use.edge not in without and use.edge[1] not in seen:
                seen.add(use.edge[1])
                pending.append(use.edge[1])
    return False


def is_finite(tensor: Tensor | None) -> bool:
    """Whether there is a tensor and all its elements are finite; of a sparse one, those that it holds."""
    held = _held(tensor)
    if held is not None and (known := kept_statistics(held)) is not None:
        return known.finite == known.count
    return held is not None and bool(torch.isfinite(held).all())


def is_zero(tensor: Tensor | None) -> bool:
    """Whether there is a tensor and all its elements are zero."""
    held = _held(tensor)
    if held is not None and (known := kept_statistics(held)) is not None:
        return known.zeros == known.count
    return held is not None and not bool((held != 0).any())


def _held(tensor: Tensor | None) -> Tensor | None:
    if tensor is None or tensor.layout is torch.strided:
        return tensor
    return tensor.coalesce().values() if tensor.layout is torch.sparse_coo else tensor.values()


def _passing(graph: GradGraph, heads: Iterable[int], tails: Collection[int]) -> Iterator[tuple[Use, Tensor]]:
    """The edges into `heads` from `tails` that a cotangent reached and that passed something on."""
    for head in heads:
        cotangent = graph.cotangent(head)
        for use in graph.arguments_of(head) if cotangent is not None else ():
            if use.partial is not None and use.contribution is not None and use.edge[0] in tails and cotangent is not None:
                yield use, cotangent
