"""Which nodes have to do with nested tensors of layout `torch.jagged`, whose elements the check does not look at."""

from __future__ import annotations

import torch
from torch import Tensor

from gradviz.graph import GradGraph

_NOT_CHECKED = "is a nested tensor of layout torch.jagged, which is not checked; accepted: a padded tensor, or its parts"


def why_nested(graph: GradGraph, node: int) -> str:
    """Why nothing is checked of a node and of what it reads; "" where none of its tensors is nested."""
    for number in (node, *(use.edge[0] for use in graph.arguments_of(node))):
        if _is_jagged(graph.nodes[number]["value"]):
            return f"{graph.nodes[number]['name']} {_NOT_CHECKED}"
    return ""


def _is_jagged(value: Tensor | tuple[Tensor | None, ...] | None) -> bool:
    values = value if isinstance(value, tuple) else (value,)
    return any(one is not None and one.layout is torch.jagged for one in values)
