"""Leaves and constants that are not drawn, since each of their users names them: groups that share them, parts of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from gradviz.moves import moved_as

MIN_PARTS = 3
"""A constant of which fewer parts are read is drawn beside each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is not drawn.

    Attributes:
        in_groups: leaves that only groups read, which say so.
        in_parts: constants of which only parts are read, each by a call that says so: `table[3]`.
        parts: these calls.
    """

    in_groups: frozenset[int]
    in_parts: frozenset[int]
    parts: frozenset[int]

    @property
    def ways(self) -> tuple[tuple[str, frozenset[int]], ...]:
        """How they are told, in words, where any are."""
        both = (("written in the groups that share them", self.in_groups), ("drawn in parts", self.in_parts))
        return tuple((how, nodes) for how, nodes in both if nodes)


def told_elsewhere(graph: nx.MultiDiGraph, nodes: Collection[int], *, with_calls: bool) -> Told:
    """What of some nodes is not drawn.

    Args:
        graph: as it is drawn, with its groups.
        nodes: that would be drawn once per use, and of which nothing else is to be said.
        with_calls: whether the picture says what calls do.
    """
    in_groups, in_parts, parts = set(), set(), set()
    for node in nodes:
        heads = list(graph.successors(node))
        users = [graph.nodes[head] for head in heads]
        if graph.nodes[node]["kind"] == "leaf":
            in_groups |= {node} if all(user["kind"] == "group" for user in users) else set()
        elif with_calls and all(graph.in_degree(head) == 1 for head in heads) and is_read_in_parts(graph.nodes[node], users):
            in_parts.add(node)
            parts.update(heads)
    return Told(in_groups=frozenset(in_groups), in_parts=frozenset(in_parts), parts=frozenset(parts))


def is_read_in_parts(attributes: Mapping[str, Any], users: Collection[Mapping[str, Any]]) -> bool:
    """Whether a constant is read by nothing but calls that pick a part of it.

    Args:
        attributes: of the constant.
        users: the attributes of what reads it, each of which reads nothing else.
    """
    return (
        attributes["kind"] == "constant"
        and len(users) >= MIN_PARTS
        and all(
            user["kind"] == "op" and not user["requires_grad"] and moved_as(user["op"]) == "selection" for user in users
        )
    )
