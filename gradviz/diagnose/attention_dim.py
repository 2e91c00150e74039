"""Attention weights that are normalised over another dimension than the one that the product with the values sums over.

Only the weights of an attention are looked at: a softmax of a product of two computed matrices, queries and keys, that goes
into another product. Assignments to clusters, pooling and gates are softmaxes of something else, and their dimension is
theirs to choose. Weights that anything else reads too, as slot attention does to normalise them again, are left alone, and
so are products of several softmaxes, which are the steps of a random walk.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, Severity, extremes, found
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use
from gradviz.view.notation import shape_text

SOFTMAX = frozenset({"_softmax", "_safe_softmax"})
PRODUCTS = {"mm": ("self", "mat2"), "bmm": ("self", "mat2"), "baddbmm": ("batch1", "batch2")}
"""Function -> its left and its right factor. A layer with a bias is `addmm`, which is none of them."""
SCALING = COPIES | {"mul", "div", "add", "sub", "masked_fill", "where"}
"""What may lie between the product of queries and keys and its softmax: a scale, a mask, a bias of positions."""
RESHAPING = frozenset({"view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "transpose", "permute", "t", "expand"})
KEEPING = frozenset({"clone", "alias", "contiguous", "_to_copy", "mul", "native_dropout", "masked_fill", "nan_to_num"})
"""What leaves each weight in its place: a dropout among it."""
SUMS_TO_1 = 1e-2


def attention_dim(readings: Readings) -> Iterator[Finding]:
    """One for each softmax whose weights do not sum to 1 over what they weight."""
    for node in readings.ops:
        value = readings.graph.value(node) if readings.op(node) in SOFTMAX else None
        if value is None or value.ndim < 2 or readings.graph.cotangent(node) is None or not is_of_queries(readings, node):
            continue
        ways = list(ways_of_weights(readings, node))
        if len(ways) == 1 and ways[0] and _is_of_values(readings, ways[0][-1]) and not _is_walk(readings, ways[0][-1]):
            yield from _finding(readings, node, value, ways[0])


def is_of_queries(readings: Readings, softmax: int) -> bool:
    """Whether its argument is a product of two matrices that were computed of what learns, scaled and masked.

    A graph's adjacency, however it was normalised, learns nothing: with it nodes are assigned to clusters.
    """
    seen, pending = {softmax}, [use for use in readings.arguments[softmax] if use.partial is not None]
    while pending:
        node = pending.pop().edge[0]
        if node in seen:
            continue
        seen.add(node)
        if readings.op(node) in PRODUCTS:
            named = (use for use in readings.arguments[node] if use.argument in PRODUCTS[readings.op(node)])
            factors = [use for use in named if use.partial is not None]
            value = readings.graph.value(node)
            kinds = [readings.graph.nodes[readings.behind(use.edge[0], COPIES)]["kind"] for use in factors]
            if kinds == ["op", "op"] and value is not None and min(value.shape[-2:]) > 1:
                return True
        elif readings.op(node) in SCALING:
            pending += [use for use in readings.arguments[node] if use.partial is not None]
    return False


def ways_of_weights(readings: Readings, softmax: int) -> Iterator[list[Use]]:
    """The edges from a softmax to each call that reads its weights, the last one into it; empty where that is no product."""
    pending: list[list[Use]] = [[use] for use in readings.graph.uses_of(softmax)]
    while pending:
        way = pending.pop()
        use = way[-1]
        head = use.edge[1]
        op = readings.op(head)
        if use.partial is None or readings.graph.cotangent(head) is None:
            continue
        others = [other for other in readings.arguments[head] if other.partial is not None and other.edge != use.edge]
        if op in RESHAPING or (op in KEEPING and not others):
            pending += [[*way, further] for further in readings.graph.uses_of(head)]
        else:
            yield way if op in PRODUCTS and use.argument in PRODUCTS[op] else []


def _is_of_values(readings: Readings, use: Use) -> bool:
    """Whether what the weights weight was computed: a product with a parameter is a layer."""
    nodes = (readings.behind(other.edge[0], COPIES) for other in _other_factors(readings, use))
    return all(readings.graph.nodes[node]["kind"] == "op" for node in nodes)


def _other_factors(readings: Readings, use: Use) -> list[Use]:
    factors = PRODUCTS[readings.op(use.edge[1])]
    return [other for other in readings.arguments[use.edge[1]] if other.edge != use.edge and other.argument in factors]


def _is_walk(readings: Readings, use: Use) -> bool:
    """Whether the other factor of a product is a softmax, or a product of such: probabilities of several steps."""
    seen, pending = set[int](), _other_factors(readings, use)
    while pending:
        node = pending.pop().edge[0]
        if readings.op(node) in SOFTMAX:
            return True
        if node not in seen and readings.op(node) in COPIES | PRODUCTS.keys():
            seen.add(node)
            pending += readings.arguments[node]
    return False


def _finding(readings: Readings, softmax: int, value: Tensor, way: list[Use]) -> Iterator[Finding]:
    graph, product = readings.graph, way[-1].edge[1]
    is_left = way[-1].argument == PRODUCTS[readings.op(product)][0]
    summed_axis, kept_axis = (-1, -2) if is_left else (-2, -1)
    weights, call = readings.value_of(way[-1]), graph.nodes[softmax]["call"]
    if call is None or weights is None or min(weights.shape[-2:]) < 2:
        return
    dim = call.args[1] % value.ndim
    if _varies(readings, value, way, dim, summed_axis) is not False or not readings.has_elements(value):
        return
    dims = range(value.ndim)
    summed, kept = ([one for one in dims if _varies(readings, value, way, one, axis)] for axis in (summed_axis, kept_axis))
    if len(summed) != 1 or len(kept) != 1:
        return
    sums = value.float().sum(summed[0])
    if float((sums - 1).abs().max()) < SUMS_TO_1:
        return
    queries, keys = value.shape[kept[0]], value.shape[summed[0]]
    over = "the queries, which compete for each key" if kept == [dim] else "samples or heads, which compete with each other"
    severity: Severity = "warning" if queries == keys or kept != [dim] else "hint"
    meant = "" if severity == "warning" else ", or divide the weights by their sum over it, as slot attention does"
    yield found(
        graph,
        "attention-dim",
        severity,
        f"{readings.name(softmax)} {shape_text(tuple(value.shape))} = softmax(..., dim={dim}) makes weights sum to 1 over "
        f"dimension {dim}, and {readings.function(product)} {readings.name(product)} sums over dimension {summed[0]} what "
        f"they weight: dimension {dim} is that of {over}",
        f"pass dim={summed[0]} to the softmax{meant}",
        edge=readings.arguments[softmax][0].edge,
        numbers=extremes(sums, "least sum of weights", "greatest sum of weights"),
    )


def _varies(readings: Readings, value: Tensor, way: list[Use], dim: int, axis: int) -> bool | None:
    """Whether one dimension of a softmax lies, where a product reads its weights, along an axis; None where unknown."""
    shape = [size if place == dim else 1 for place, size in enumerate(value.shape)]
    lies = moved(readings, torch.arange(value.shape[dim]).view(shape).expand(value.shape), way)
    return None if lies is None else bool((lies.select(axis, 0) != lies.select(axis, 1)).any())


def moved(readings: Readings, places: Tensor, way: list[Use]) -> Tensor | None:
    """What stands where a product reads the weights, if these are replaced by other numbers; None where that is unknown."""
    for use in way[:-1]:
        head = use.edge[1]
        call = readings.graph.nodes[head]["call"]
        if call is None:
            return None
        if readings.op(head) in ("view", "_unsafe_view", "reshape"):
            places = places.reshape(call.args[1])  # of a copy in the model, here of none
        elif readings.op(head) in RESHAPING:
            places = call.overload(places, *call.args[1:], **call.kwargs)
    return places
