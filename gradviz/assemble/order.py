"""Puts the nodes of a draft in order: forward as the code ran, and backward as the engine settled their cotangents."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.drafted import Draft, Key
from gradviz.recording.backward import AutogradGraph


def forward_order(draft: Draft, named: Sequence[Tensor]) -> dict[Key, int]:
    """Node -> its place: leaves, constants, then ops as they ran, each after what feeds it.

    Args:
        draft: the nodes and edges.
        named: leaves and constants come in the order of these tensors, others after them.
    """
    known = {id(tensor): place for place, tensor in enumerate(named)}
    last = len(known)
    ranks: dict[Key, tuple[int, int, int, int]] = {}
    for key, node in draft.nodes.items():
        kind, made, sequence = node.priority
        ranks[key] = (kind, 0 if node.kind == "op" else known.get(id(node.tensors[0]), last), made, sequence)
    places = {key: place for place, key in enumerate(sorted(ranks, key=ranks.__getitem__))}
    if all(places[edge.tail] < places[head] for head, edges in draft.edges_into.items() for edge in edges):
        return places
    return _sorted_by_use(draft, ranks)


def _sorted_by_use(draft: Draft, ranks: Mapping[Key, tuple[int, int, int, int]]) -> dict[Key, int]:
    """Each node after what feeds it, and among those that could be next the one of the lowest rank."""
    waiting = dict.fromkeys(ranks, 0)
    heads: dict[Key, list[Key]] = {}
    for head, edges in draft.edges_into.items():
        waiting[head] += len(edges)
        for edge in edges:
            heads.setdefault(edge.tail, []).append(head)
    heap = [(ranks[key], pushed, key) for pushed, (key, count) in enumerate(waiting.items()) if count == 0]
    heapq.heapify(heap)
    places: dict[Key, int] = {}
    pushed = len(waiting)
    while heap:
        _, _, key = heapq.heappop(heap)
        places[key] = len(places)
        for head in heads.get(key, ()):
            waiting[head] -= 1
            if waiting[head] == 0:
                pushed += 1
                heapq.heappush(heap, (ranks[head], pushed, head))
    return places


def backward_order(ran: Sequence[Node], autograd: AutogradGraph) -> dict[Key, int]:
    """Key -> its place in the engine's order. A leaf's gradient is settled right after its last contribution.

    Args:
        ran: the nodes as the engine ran them, without leaves.
        autograd: all nodes, with their leaves.
    """
    waiting: dict[Node, int] = dict.fromkeys(autograd.variables, 0)
    for node in ran:
        for tail, _ in autograd.slots[node]:
            if tail in waiting:
                waiting[tail] += 1
    order: list[Node] = [node for node, count in waiting.items() if count == 0]
    for node in ran:
        order.append(node)
        for tail, _ in autograd.slots[node]:
            if tail in waiting:
                waiting[tail] -= 1
                if waiting[tail] == 0:
                    order.append(tail)
    return {node: place for place, node in enumerate(order)}
