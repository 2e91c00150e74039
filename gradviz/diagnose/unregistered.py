"""Tensors that get a gradient but that no module lists: an optimiser made from `model.parameters()` does not have them."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings

WRAPPED = "wrapped as a new leaf"
"""Why the parameter is lost whose scaled copy became another."""
DATA = {"mm": "self", "addmm": "mat1", "bmm": "self", "baddbmm": "batch1", "convolution": "input"}
"""Product -> its argument that carries data in torch's layers."""


def unregistered(readings: Readings) -> Iterator[Finding]:
    """One finding for the leaves without a name that calls inside of modules use, in a model whose other leaves have one."""
    graph = readings.graph
    roots = {graph.nodes[node]["root"] for node in graph.leaves.values()} - {""}
    nodes = [
        node
        for node in graph.leaves.values()
        if not graph.nodes[node]["is_named"]
        and graph.cotangent(node) is not None
        and _is_used_in_a_module(readings, node)
        and not _is_input(readings, node)
    ]
    wrapped = [name for name, lost in graph.graph.get("lost_leaves", {}).items() if lost[1] == WRAPPED]
    if roots and len(nodes) > len(wrapped):  # these are told as parameters that were replaced
        shapes = {tuple(graph.nodes[node]["shape"]) for node in nodes}
        yield found(
            graph,
            "unregistered-parameter",
            "warning",
            f"{f'{len(nodes)} tensors get' if len(nodes) > 1 else 'a tensor gets'} a gradient inside of "
            f"{', '.join(sorted(roots))}, but {'are' if len(nodes) > 1 else 'is'} none of its parameters",
            "hold layers in an nn.ModuleList or nn.ModuleDict, tensors as nn.Parameter: plain lists are not looked into",
            node=nodes[0],
            numbers={"leaves": len(nodes), "shapes": ", ".join(map(str, sorted(shapes)))},
        )


def _is_used_in_a_module(readings: Readings, leaf: int) -> bool:
    graph = readings.graph
    return any(graph.nodes[use.edge[1]]["training"] is not None for use in graph.uses_of(leaf))


def _is_input(readings: Readings, leaf: int) -> bool:
    """Whether a leaf was made in the step and is what a layer reads: the points at which a penalty takes a gradient."""
    if not readings.graph.nodes[leaf]["source"]:
        return False
    read = [
        use
        for user in readings.users(leaf)
        if (name := DATA.get(readings.op(user))) and (use := readings.argument(user, name)) is not None
    ]
    return any(readings.behind(use.edge[0]) == leaf for use in read)
