"""The attentions of a graph, sums of values weighted by a softmax, and where numbers came from that were only moved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from gradviz.diagnose.attention_dim import PRODUCTS, RESHAPING, SOFTMAX, is_of_queries, ways_of_weights
from gradviz.diagnose.batch_as_sequence import ATTENTIONS as FUSED
from gradviz.diagnose.readings import Readings
from gradviz.graph import Use

SELECTING = frozenset(
    {
        *("slice", "select", "split", "split_with_sizes", "unsafe_split", "unbind", "narrow", "index_select", "repeat"),
        *("flip", "roll", "diagonal"),
    }
)
KEEPING = frozenset(
    {
        *("clone", "alias", "contiguous", "_to_copy", "add", "sub", "mul", "div", "native_dropout", "neg", "detach"),
        *("native_layer_norm", "_fused_rms_norm", "gelu", "relu", "silu", "cat"),
    }
)
"""What leaves each number in its place, or in its row: a bias, a dropout, a norm, a cache that is still empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """A weighted sum of values.

    Attributes:
        node: the call whose result is the sum (..., T, D), T queries of D features.
        weights: the softmax; None in a fused call.
        values: the edge that carries the values (..., S, D), S keys, into the call.
        is_turned: whether the last two dimensions of values and sums are the other way round.
    """

    node: int
    weights: int | None
    values: Use
    is_turned: bool

    @property
    def rows(self) -> int:
        """The dimension that counts the keys of the values, and the queries of the sums."""
        return -1 if self.is_turned else -2


def attentions(readings: Readings) -> Iterator[Attention]:
    """Those whose weights come from computed queries and keys, and whose result a gradient reaches; in forward order."""
    for node in readings.ops:
        op = readings.op(node)
        if readings.graph.cotangent(node) is None:
            continue
        if op in FUSED and (values := readings.argument(node, "value")) is not None:
            yield Attention(node=node, weights=None, values=values, is_turned=False)
        elif op in SOFTMAX and is_of_queries(readings, node):
            ways = list(ways_of_weights(readings, node))
            if len(ways) == 1 and ways[0]:
                product = ways[0][-1].edge[1]
                left, right = PRODUCTS[readings.op(product)]
                is_left = ways[0][-1].argument == left
                values = readings.argument(product, right if is_left else left)
                if values is not None and values.partial is not None:
                    yield Attention(node=product, weights=node, values=values, is_turned=not is_left)


def way_back(readings: Readings, use: Use) -> list[Use]:
    """The edges to this one from the first value, going back, that was not made by moving, scaling or shifting another."""
    way = [use]
    while (before := _carried(readings, way[0].edge[0])) is not None:
        way.insert(0, before)
    return way


def _carried(readings: Readings, node: int) -> Use | None:
    """The edge into a call whose numbers it only moves or keeps in their places."""
    op, uses = readings.op(node), readings.arguments[node]
    if op in RESHAPING | SELECTING:
        return uses[0]
    if op not in KEEPING:
        return None
    made = next(readings.values(node), None)
    shape = None if made is None else made.shape
    alike = (use for use in uses if (value := readings.value_of(use)) is not None and value.shape == shape)
    return next((use for use in alike if use.partial is not None), None)


def carried(readings: Readings, places: Tensor, way: list[Use]) -> Tensor | None:
    """What stands at the end of a way if the numbers at its beginning are replaced by others; None where it is unknown."""
    for use, following in pairwise(way):
        head = use.edge[1]
        call, op = readings.graph.nodes[head]["call"], readings.op(head)
        if op not in RESHAPING | SELECTING:
            continue
        if call is None:
            return None
        if op in ("view", "_unsafe_view", "reshape"):
            places = places.reshape(call.args[1])
        else:
            further = (one.cpu() if isinstance(one, Tensor) else one for one in call.args[1:])
            moved = call.overload(places, *further, **call.kwargs)
            places = moved if isinstance(moved, Tensor) else moved[following.output]
    return places
