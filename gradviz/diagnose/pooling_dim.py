"""Weights that pool parts of a sample, or neighbours in a graph, and are normalised over the samples or nodes instead.

What tells is the loss: it has a row, with a target of its own, for each entry of the dimension over which the softmax runs,
and what is weighted is summed over another. The rows then compete with each other. A softmax over what is summed is fine,
whichever dimension that is, and so is one whose dimension ends before the loss: clusters, slots, capsules, channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gradviz.diagnose.attention_dim import KEEPING, PRODUCTS, RESHAPING, SOFTMAX, SUMS_TO_1, is_of_queries, moved
from gradviz.diagnose.finding import Finding, extremes, found
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use
from gradviz.view.notation import shape_text

LOSSES = frozenset(
    {
        *("nll_loss_forward", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy"),
        "binary_cross_entropy_with_logits",
    }
)
SIZES = frozenset({"abs", "pow", "square"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooling:
    """A weighted sum.

    Attributes:
        way: the edges from the softmax to what multiplies its weights.
        node: the call that sums.
        rank: the number of dimensions of what is summed.
        summed: which of these go, counted from the end, as weights have them that are broadcast: -1, -2, ...
        is_matrix: whether it is a product of matrices.
    """

    way: list[Use]
    node: int
    rank: int
    summed: frozenset[int]
    is_matrix: bool


def pooling_dim(readings: Readings) -> Iterator[Finding]:
    """One for each softmax over the rows of the loss whose weights are summed over another dimension."""
    for node in readings.ops:
        value = readings.graph.value(node) if readings.op(node) in SOFTMAX else None
        if value is None or value.ndim < 2 or readings.graph.cotangent(node) is None or is_of_queries(readings, node):
            continue
        pooling = _pooling(readings, node)
        if pooling is not None and readings.has_elements(value):
            yield from _finding(readings, node, value, pooling)


def _pooling(readings: Readings, softmax: int) -> Pooling | None:
    """The one weighted sum that weights go to; None where they go elsewhere too."""
    graph, node, way = readings.graph, softmax, list[Use]()
    while True:
        uses = [use for use in graph.uses_of(node) if use.partial is not None and graph.cotangent(use.edge[1]) is not None]
        if len(uses) != 1:
            return None
        way.append(uses[0])
        node = uses[0].edge[1]
        op, others = readings.op(node), [use for use in readings.arguments[node] if use.edge != uses[0].edge]
        if any(readings.op(readings.behind(other.edge[0], COPIES)) in SOFTMAX for other in others):
            return None
        if op in PRODUCTS and uses[0].argument in PRODUCTS[op]:
            value, is_left = readings.value_of(uses[0]), uses[0].argument == PRODUCTS[op][0]
            summed = frozenset({-1 if is_left else -2})
            return None if value is None else Pooling(way=way, node=node, rank=value.ndim, summed=summed, is_matrix=True)
        if op == "mul" and (pooling := _summed_product(readings, node, way)) is not None:
            return pooling
        is_kept = op in KEEPING and _elements(readings, node) == _elements(readings, uses[0].edge[0])
        if op not in RESHAPING and (not is_kept or any(other.partial is not None for other in others)):
            return None


def _elements(readings: Readings, node: int) -> int:
    value = next(readings.values(node), None)
    return 0 if value is None else value.numel()


def _summed_product(readings: Readings, node: int, way: list[Use]) -> Pooling | None:
    """A product, element by element, that is summed over some of its dimensions at once."""
    heads = [use.edge[1] for use in readings.graph.uses_of(node) if use.partial is not None]
    value = readings.graph.value(node)
    call = readings.graph.nodes[heads[0]]["call"] if len(heads) == 1 and readings.op(heads[0]) == "sum" else None
    if call is None or value is None or len(call.args) < 2 or not call.args[1]:
        return None
    summed = frozenset(dim % value.ndim - value.ndim for dim in call.args[1])
    return Pooling(way=way, node=heads[0], rank=value.ndim, summed=summed, is_matrix=False)


def _finding(readings: Readings, softmax: int, value: Tensor, pooling: Pooling) -> Iterator[Finding]:
    graph, call = readings.graph, readings.graph.nodes[softmax]["call"]
    if call is None:
        return
    dim = call.args[1] % value.ndim
    places = {one: _axes(readings, value, pooling, one) for one in range(value.ndim) if value.shape[one] > 1}
    along, parts = places.get(dim), [one for one, axes in places.items() if axes and axes <= pooling.summed]
    if along != frozenset({-pooling.rank}) or along <= pooling.summed or len(parts) != 1 or value.shape[parts[0]] < 2:
        return
    rows, sums = value.shape[dim], value.float().sum(parts[0])
    if not _has_rows(readings, pooling.node, rows) or float((sums - 1).abs().max()) < SUMS_TO_1:
        return
    is_hint = pooling.is_matrix and rows == value.shape[parts[0]]
    yield found(
        graph,
        "attention-dim",
        "hint" if is_hint else "warning",
        f"{readings.name(softmax)} {shape_text(tuple(value.shape))} = softmax(..., dim={dim}) makes weights sum to 1 over "
        f"dimension {dim}, that of the {rows} rows of the loss, which compete with each other; "
        f"{readings.name(pooling.node)} sums over dimension {parts[0]} what they weight",
        f"pass dim={parts[0]} to the softmax",
        edge=readings.arguments[softmax][0].edge,
        numbers=extremes(sums, "least sum of weights", "greatest sum of weights"),
    )


def _axes(readings: Readings, value: Tensor, pooling: Pooling, dim: int) -> frozenset[int] | None:
    """Along which axes, counted from the end, a dimension of the softmax lies where its weights are multiplied."""
    shape = [size if place == dim else 1 for place, size in enumerate(value.shape)]
    places = moved(readings, torch.arange(value.shape[dim]).view(shape).expand(value.shape), pooling.way)
    if places is None:
        return None
    axes = range(-places.ndim, 0)
    return frozenset(axis for axis in axes if bool((places != places.narrow(axis, 0, 1)).any()))


def _has_rows(readings: Readings, node: int, rows: int) -> bool:
    """Whether all that follows has so many rows, up to a loss with a target for each."""
    ends = False
    for after in sorted({node, *readings.ahead_of(node)}):
        value = next(readings.values(after), None)
        if value is None:
            return False
        if readings.op(after) in LOSSES or _is_error(readings, after):
            targets = [readings.value_of(use) for use in readings.arguments[after] if use.partial is None]
            ends |= any(one is not None and one.ndim > 0 and one.shape[0] == rows for one in targets)
        elif math.prod(value.shape) > 1 and (not value.ndim or value.shape[0] != rows):
            return False
    return ends


def _is_error(readings: Readings, node: int) -> bool:
    """Whether it is a difference that goes into a square or a magnitude and nowhere else: a loss that is written by hand."""
    heads = {use.edge[1] for use in readings.graph.uses_of(node) if use.partial is not None}
    squared = (readings.op(head) in SIZES or all(use.edge[0] == node for use in readings.arguments[head]) for head in heads)
    return readings.op(node) in ("sub", "rsub") and bool(heads) and all(squared)
