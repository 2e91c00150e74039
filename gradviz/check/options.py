"""What `check` is asked for: each option looked at before anything is computed, and refused with what is accepted."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

import torch

from gradviz.errors import CheckError
from gradviz.graph import Edge, GradGraph

Intended = Collection[str | type[torch.autograd.Function]]
"""Names or classes of custom Functions whose backward is meant to differ from the derivative of their forward."""
_SEEDS_BELOW = 2**40
_ACCEPTED = "accepted: (tail, head, argument position), three numbers, as `use.edge` of graph.arguments_of(node)"


def require_options(samples: Any, seed: Any, time_limit_s: Any, progress: Any) -> None:
    """Refuses what is not of its kind, or out of range.

    Raises:
        CheckError: says which option, and what is accepted.
    """
    if not _is_whole(samples) or samples < 1:
        raise CheckError(f"samples={samples!r}: how many rows are looked at; accepted: a whole number, at least 1")
    if not _is_whole(seed) or not 0 <= seed < _SEEDS_BELOW:
        raise CheckError(f"seed={seed!r}: accepted: a whole number from 0 up to 2**40")
    is_number = isinstance(time_limit_s, (int, float)) and not isinstance(time_limit_s, bool)
    if time_limit_s is not None and (not is_number or math.isnan(time_limit_s) or time_limit_s < 0):
        raise CheckError(f"time_limit_s={time_limit_s!r}: accepted: a number of seconds, 0 or more, or None")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise CheckError(f"progress={progress!r}: accepted: True, False, None, or a function of three arguments")


def wanted_edges(graph: GradGraph, edges: Any) -> frozenset[Edge]:
    """The edges to check.

    Raises:
        CheckError: there is none, or one that is no edge of the graph, or that carries no gradient.
    """
    if isinstance(edges, str) or not isinstance(edges, Iterable):
        raise CheckError(f"edges={edges!r}: accepted: a list of edges, or None for all")
    wanted = set()
    for edge in edges:
        if not isinstance(edge, tuple) or len(edge) != 3 or not all(map(_is_whole, edge)):
            raise CheckError(f"{edge!r} is no edge; {_ACCEPTED}")
        wanted.add(edge)
    if not wanted:
        raise CheckError("edges is empty: there is nothing to check; accepted: a list of edges, or None for all")
    for edge in sorted(wanted):
        if not graph.has_edge(*edge):
            raise CheckError(f"the graph has no edge {edge}; an edge is (tail, head, argument position)")
        if graph.edges[edge]["partial"] is None:
            reason = graph.edges[edge]["cut"] or "not differentiable"
            raise CheckError(f"no gradient flows along edge {edge} ({reason}): there is no partial to check")
    return frozenset(wanted)


def intended_nodes(graph: GradGraph, intended: Intended) -> frozenset[int]:
    """The nodes of the Functions that are named.

    Raises:
        CheckError: one is neither a name nor a class, or the graph has no such Function.
    """
    if isinstance(intended, (str, type)) or not isinstance(intended, Collection):
        raise CheckError(f"intended={intended!r}: accepted: a list of names or classes of custom Functions")
    functions = {node: function for node in graph if (function := graph.custom_function(node)) is not None}
    found: set[int] = set()
    for one in intended:
        nodes = [node for node, function in functions.items() if one in (function.name, function.function)]
        if not nodes:
            known = ", ".join(sorted({function.name for function in functions.values()})) or "none"
            raise CheckError(f"intended: the graph has no custom Function {_named(one)}; its custom Functions: {known}")
        found.update(nodes)
    return frozenset(found)


def _named(one: Any) -> str:
    return one.__name__ if isinstance(one, type) else repr(one)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
