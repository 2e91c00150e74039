"""Which nodes have to do with tensors whose elements the check does not look at: nested ones of layout `torch.jagged`, and
subclasses that hold other tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from gradviz.graph import GradGraph

_JAGGED = "a nested tensor of layout torch.jagged"
_INSTEAD = {_JAGGED: "a padded tensor, or its parts"}


def why_nested(graph: GradGraph, node: int) -> str:
    """Why nothing is checked of a node and of what it reads; "" where each of its tensors has elements of its own."""
    for number in (node, *(use.edge[0] for use in graph.arguments_of(node))):
        if kind := _kind_of(graph.nodes[number]["value"]):
            accepted = _INSTEAD.get(kind, "plain tensors, such as those it holds")
            return f"{graph.nodes[number]['name']} is {kind}, which is not checked; accepted: {accepted}"
    return ""


def nested_kind(graph: GradGraph, node: int) -> str:
    """What kind of tensor that is not checked a node, or what it reads, is; "" where there is none."""
    numbers = (node, *(use.edge[0] for use in graph.arguments_of(node)))
    return next((kind for number in numbers if (kind := _kind_of(graph.nodes[number]["value"]))), "")


def _kind_of(value: Tensor | tuple[Tensor | None, ...] | None) -> str:
    for one in value if isinstance(value, tuple) else (value,):
        if one is not None and one.layout is torch.jagged:
            return _JAGGED
        holds_others: bool = is_traceable_wrapper_subclass(one)
        if holds_others:
            return f"a {type(one).__name__}, a tensor that holds others"
    return ""
