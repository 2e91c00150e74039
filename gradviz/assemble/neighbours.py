"""What the recovery of values learns from: the nodes around those that no recorded call explains, and their values."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.drafted import Draft, is_autograd_node
from gradviz.assemble.lookup import Lookup
from gradviz.recording.backward import AutogradGraph
from gradviz.standin import is_kept


def with_neighbours(graph: AutogradGraph, nodes: list[Node]) -> list[Node]:
    """The nodes, those that they feed and those that feed them, leaves first."""
    asked = frozenset(nodes)
    wanted = set(nodes)
    for node, slots in graph.slots.items():
        tails = {tail for tail, _ in slots if tail is not None}
        if node in asked or not tails.isdisjoint(asked):
            wanted |= {node} | tails
    return [node for node in graph.forward_order() if node in wanted]


def known_values(lookup: Lookup, draft: Draft, alive: Sequence[Tensor]) -> dict[tuple[Node, int], Tensor]:
    """Values of graph nodes that the recording holds: of explained nodes, of tensors still alive, of written bases."""
    graph, recorder, calls = lookup.graph, lookup.recorder, lookup.calls
    known: dict[tuple[Node, int], Tensor] = {}
    for tensor in alive:
        if tensor.grad_fn is not None and tensor.grad_fn in graph.slots:
            known[tensor.grad_fn, tensor.output_nr] = recorder.versions.at(tensor, len(calls))
    if calls:
        for node in graph.slots:
            for output, held in lookup.values_before_writes(node).items():
                known[node, output] = held
            for output, tensor in lookup.live_tensors(node).items():
                known[node, output] = recorder.versions.at(tensor, len(calls))
            write = lookup.write_of(node)
            if write is not None:
                known[node, 0] = write.after
    for key, drafted in draft.nodes.items():
        # Leaves are left to the recovery, which knows how to tell that one was written to.
        if is_autograd_node(key) and drafted.kind == "op":
            for output, place in enumerate(drafted.differentiable):
                if (value := drafted.values[place]) is not None:
                    known[key, output] = value
    return {key: value for key, value in known.items() if is_kept(value)}
