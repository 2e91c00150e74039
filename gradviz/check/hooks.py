"""The hooks that change what flows back through a graph, asked of its autograd nodes where a number differs."""

from __future__ import annotations

from collections.abc import Iterator
from operator import add

from gradviz.graph import GradGraph
from gradviz.recording.hooks import NodeHooks

Place = tuple[int, int]
"""(node, output)"""


class Hooks:
    """The hooks of one graph, each as "clip at train.py:12"; a node is asked once."""

    def __init__(self, graph: GradGraph) -> None:
        self._graph = graph
        self._on_tensors = graph.hooks()
        self._then = graph.node_hooks()
        self._of_nodes: dict[int, NodeHooks] = {}

    def on_cotangent(self, node: int, output: int) -> tuple[str, ...]:
        """Those that may change the cotangent of one output of a node: on the tensor, and before the autograd node."""
        return self._on_tensors.get((node, output), ()) + self._of_node(node).before

    def on_contributions(self, node: int) -> tuple[str, ...]:
        """Those that may change what a node contributes to the cotangents of its arguments."""
        return self._of_node(node).after

    def places(self) -> Iterator[tuple[Place, tuple[str, ...]]]:
        """The outputs with hooks on their cotangents."""
        for node, outputs in self._graph.nodes(data="outputs"):
            for output in outputs:
                if names := self.on_cotangent(node, output):
                    yield (node, output), names

    def nodes(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        """The nodes with hooks on their contributions."""
        for node in self._graph:
            if names := self.on_contributions(node):
                yield node, names

    def _of_node(self, node: int) -> NodeHooks:
        found = self._of_nodes.get(node)
        if found is None:
            partials = (use.partial for use in self._graph.arguments_of(node))
            partial = next((one for one in partials if one is not None), None)
            now = NodeHooks() if partial is None else partial.hooks()
            then = self._then.get(node, NodeHooks())  # a hook may be gone by now
            found = self._of_nodes[node] = NodeHooks(*(tuple(dict.fromkeys(both)) for both in map(add, then, now)))
        return found
