"""Puts the nodes of a draft in order: forward as the code ran, and backward as the engine settled their cotangents."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.backward import AutogradGraph
from gradviz.draft import Draft, Key


def forward_order(draft: Draft, named: Sequence[Tensor]) -> list[Key]:
    """Leaves, constants, then ops as they ran, each after what feeds it.

    Args:
        draft: the nodes and edges.
        named: leaves and constants come in the order of these tensors, others after them.
    """
    nodes = draft.nodes
    waiting = dict.fromkeys(nodes, 0)
    heads: dict[Key, list[Key]] = {}
    for edge in draft.edges:
        waiting[edge.head] += 1
        heads.setdefault(edge.tail, []).append(edge.head)
    known = {id(tensor): place for place, tensor in enumerate(named)}

    def entry(key: Key, count: int) -> tuple[tuple[int, int, int, int], int, Key]:
        node = nodes[key]
        kind, made, sequence = node.priority
        place = 0 if node.kind == "op" else known.get(id(node.tensors[0]), len(known))
        return (kind, place, made, sequence), count, key

    heap = [entry(key, place) for place, (key, count) in enumerate(waiting.items()) if count == 0]
    heapq.heapify(heap)
    order: list[Key] = []
    pushed = len(waiting)
    while heap:
        _, _, key = heapq.heappop(heap)
        order.append(key)
        for head in heads.get(key, ()):
            waiting[head] -= 1
            if waiting[head] == 0:
                pushed += 1
                heapq.heappush(heap, entry(head, pushed))
    return order


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
