"""Codes that are looked up by their distance, as in a VQ-VAE, without the straight-through trick, or with it turned around.

The place of the nearest code has no derivative. Where layers read the codes themselves, their loss teaches the codes, and
what was encoded gets no gradient of it: none at all, or that of the commitment loss alone. Handed on as z + (codes −
z).detach(), they have the numbers of the codes, and the gradient goes to z.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import networkx as nx

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import COPIES, FLAT_FUNCTIONS, MATRIX_PRODUCTS, Readings
from gradviz.graph import Use

LOOKUPS = frozenset({"embedding", "index", "index_select", "gather", "mm"})
"""Calls that read codes by their places, or by one-hot rows."""
PICKING = FLAT_FUNCTIONS | {"max", "min", "sort", "topk"}
MOVING = COPIES - {"index", "cat", "stack"}
PLACES = MOVING | {"scatter", "eq"}
"""What may lie between the places of the nearest codes and the lookup."""
FINDING = frozenset({"argmin", "argmax", "min"})
"""Calls that find the nearest codes; what `max` finds is mostly read for its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """Codes that were looked up as the nearest ones.

    Attributes:
        nearest: the edge into the call that finds their places.
        codes: the call that reads them.
        table: the leaf or, as a moving average has it, the constant that holds them.
        encoded: what they are compared with: all values behind the distances that the table has no part in.
    """

    nearest: Use
    codes: int
    table: int
    encoded: frozenset[int]


def codes(readings: Readings) -> Iterator[Finding]:
    """Told once per lookup whose codes, and not what was encoded, get the gradient of what reads them."""
    graph = readings.graph
    turned = {readings.behind(learning, MOVING) for _, _, learning, _ in _turned(readings)}
    for lookup in without_a_way(readings):
        if lookup.codes in turned:
            continue
        names = behind(readings, lookup)
        reached = [name for name in names if graph.cotangent(graph.leaves[name]) is not None]
        only = "its only gradient is that of its own distance to the codes" if reached else "no gradient reaches it"
        nearest, read = lookup.nearest.edge[1], readings.name(lookup.codes)
        yield found(
            graph,
            "step-function",
            "error",
            f"{readings.name(nearest)} = {readings.op(nearest)}(...), by which {read} is looked up, has no derivative: "
            f"layers read {read}, and nothing of their gradient comes to what was encoded by {listed(names)}; {only}",
            f"hand on z + ({read} - z).detach() in place of {read}, where z is what was encoded: the gradient of the loss "
            "then goes straight through to z",
            edge=lookup.nearest.edge,
            numbers={"leaves behind what was encoded": len(names)},
        )


def without_a_way(readings: Readings) -> Iterator[Lookup]:
    """The lookups whose codes a layer reads, and what was encoded gets nothing of that layer's gradient."""
    for lookup in lookups(readings):
        if _is_read_by_a_layer(readings, {lookup.codes}) and not _is_read_by_a_layer(readings, lookup.encoded):
            yield lookup


def turned_around(readings: Readings) -> Iterator[Finding]:
    """Sums such as codes + (z − codes).detach(), which have the numbers of z and hand the gradient to the codes."""
    graph = readings.graph
    for node, given, learning, difference in _turned(readings):
        name, value = readings.name(learning), readings.name(given)
        apart = readings.value_of(difference)
        yield found(
            graph,
            "step-function",
            "error",
            f"{readings.name(node)} = {name} + ({value} - {name}).detach() is the straight-through trick turned around: it "
            f"has the numbers of {value}, and the gradient goes to {name}, whose way back to {value} is a step",
            f"write {value} + ({name} - {value}).detach()",
            edge=difference.edge,
            numbers={"largest difference": 0.0 if apart is None or not apart.numel() else readings.largest_size(apart)},
        )


def _turned(readings: Readings) -> Iterator[tuple[int, int, int, Use]]:
    """(sum, whose numbers it has, what gets its gradient, the edge of the difference), for each that is turned around.

    That it is where the one that gets the gradient was made of the other by steps alone.
    """
    for node in readings.ops:
        uses = readings.arguments[node] if readings.op(node) == "add" else []
        for own, other in [(uses[0], uses[1]), (uses[1], uses[0])] if len(uses) == 2 else []:
            learning = own.edge[0]
            pair = _kept_apart(readings, other.edge[0]) if own.partial is not None and other.partial is None else None
            if pair is None or pair[1] != learning or not readings.graph.nodes[pair[0]]["requires_grad"]:
                continue
            made_of = readings.made_of(learning)
            is_stepped = any(readings.op(one) in PICKING for one in made_of | {learning})
            if is_stepped and pair[0] in made_of and pair[0] not in readings.behind_of(learning):
                yield node, pair[0], learning, other


def _kept_apart(readings: Readings, node: int) -> tuple[int, int] | None:
    """(minuend, subtrahend) of a difference that gets no gradient."""
    while readings.op(node) in ("detach", "alias") and readings.arguments[node]:
        node = readings.arguments[node][0].edge[0]
    uses = readings.arguments[node]
    return (uses[0].edge[0], uses[1].edge[0]) if readings.op(node) == "sub" and len(uses) == 2 else None


def behind(readings: Readings, lookup: Lookup) -> list[str]:
    """The leaves that what was encoded was computed from."""
    return [name for name, leaf in readings.graph.leaves.items() if leaf in lookup.encoded]


def lookups(readings: Readings) -> Iterator[Lookup]:
    """Every lookup of the nearest codes in a table, of something that could learn."""
    graph = readings.graph
    for node in readings.ops:
        if readings.op(node) not in FINDING or not readings.arguments[node]:
            continue
        if readings.op(node) == "argmax" and graph.cotangent(readings.arguments[node][0].edge[0]) is not None:
            continue  # a guess, by scores that have a loss of their own
        compared = readings.made_of(node)
        for call, table in _read_at(readings, node, compared):
            apart = compared - nx.descendants(graph, table) - {table}
            encoded = frozenset(one for one in apart if graph.nodes[one]["requires_grad"])
            lookup = Lookup(nearest=readings.arguments[node][0], codes=call, table=table, encoded=encoded)
            if behind(readings, lookup):
                yield lookup


def _read_at(readings: Readings, nearest: int, compared: set[int]) -> Iterator[tuple[int, int]]:
    """(call, table) for each call that reads, at the places found, a table that took part in the distances."""
    graph = readings.graph
    for call in readings.users(nearest, PLACES):
        for use in readings.arguments[call] if readings.op(call) in LOOKUPS else ():
            table = readings.behind(use.edge[0], COPIES)
            if graph.nodes[table]["kind"] in ("leaf", "constant") and table in compared:
                yield call, table


def _is_read_by_a_layer(readings: Readings, nodes: set[int] | frozenset[int]) -> bool:
    """Whether a layer that learns reads one of these values, and is not behind one of them itself.

    Of values that could learn one that hands on a gradient to them; constants have none to get.
    """
    graph = readings.graph
    learning = any(graph.nodes[node]["requires_grad"] for node in nodes)
    ahead, pending = set(nodes), list(nodes)
    while pending:
        uses = graph.uses_of(pending.pop())
        heads = {use.edge[1] for use in uses if use.partial is not None or not learning} - ahead
        ahead |= heads
        pending += heads
    layers = (node for node in ahead - nodes if readings.op(node) in MATRIX_PRODUCTS and _has_parameters(readings, node))
    return any(graph.cotangent(node) is not None for node in layers)


def _has_parameters(readings: Readings, node: int) -> bool:
    nodes = (readings.behind(use.edge[0], COPIES) for use in readings.arguments[node])
    return any(readings.graph.nodes[one]["kind"] == "leaf" for one in nodes)
