"""Puts the nodes of a draft in order: forward as the code ran, and backward as the engine settled their cotangents."""

from __future__ import annotations

import heapq
from collections import Counter
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
    ranks: dict[Key, tuple[int, ...]] = {}
    for key, node in draft.nodes.items():
        kind, made, sequence = priority = node.priority
        ranks[key] = priority if node.kind == "op" else (kind, known.get(id(node.tensors[0]), last), made, sequence)
    places = {key: place for place, key in enumerate(sorted(ranks, key=ranks.__getitem__))}
    return places if _comes_after_what_feeds_it(draft, places) else _sorted_by_use(draft, ranks)


def _comes_after_what_feeds_it(draft: Draft, places: Mapping[Key, int]) -> bool:
    """Whether each node does."""
    for head, edges in draft.edges_into.items():
        own = places[head]
        for edge in edges:
            if places[edge.tail] >= own:
                return False
    return True


def _sorted_by_use(draft: Draft, ranks: Mapping[Key, tuple[int, ...]]) -> dict[Key, int]:
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
    slots_of = autograd.slots
    uses = Counter([tail for node in ran for tail, _ in slots_of[node]])
    waiting = {leaf: uses[leaf] for leaf in autograd.variables}
    places: dict[Key, int] = {}
    for leaf, count in waiting.items():
        if count == 0:
            places[leaf] = len(places)
    for node in ran:
        places[node] = len(places)
        for tail, _ in slots_of[node]:
            if tail in waiting:
                waiting[tail] -= 1
                if waiting[tail] == 0:
                    places[tail] = len(places)
    return places
