"""A buffer that holds a graph from before the step: the gradient goes on into an earlier step, and into all before that.

A state that a module carries from step to step, and that nobody detaches, does so: each step takes longer, and needs more
memory, than the one before. A plain attribute may be set on purpose, as a network that makes the weights of another does,
and so may weights that a module keeps as buffers: what a step of descent made of them is there to be differentiated again.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings


def kept_graph(readings: Readings) -> Iterator[Finding]:
    """One for each buffer into whose earlier graph a gradient goes."""
    graph = readings.graph
    for node, buffer in graph.kept_graphs().items():
        if graph.cotangent(node) is None or _is_a_moved_weight(readings, node):
            continue
        earlier = [one for one in readings.behind_of(node) | {node} if readings.op(one)]
        reading = [use.edge[1] for use in graph.uses_of(node) if use.partial is not None]
        own = buffer.partition(" ")[0]
        yield found(
            graph,
            "earlier-graph",
            "warning",
            f"the buffer {buffer} holds a graph from before this step: the gradient goes on through {len(earlier)} "
            f"call{'s' * (len(earlier) != 1)} that ran earlier, and through more with each step that adds to them",
            f"detach it where a step ends, or where it is read: self.{own} = self.{own}.detach(); where what it is made of "
            "is to learn, compute it in forward(); where the loop calls backward() once for several steps, all is well",
            node=node,
            source=next((line for head in sorted(reading) if (line := graph.nodes[head]["source"])), ""),
            numbers={"calls of earlier steps": len(earlier), "norm of the gradient there": readings.arriving(node)},
        )


def _is_a_moved_weight(readings: Readings, node: int) -> bool:
    """Whether a buffer is a leaf of its own, no module's parameter, to which steps were added: `weight - lr * gradient`."""
    nodes, shape = readings.graph.nodes, readings.graph.nodes[node]["shape"]
    while readings.op(node) in ("add", "sub") and (uses := readings.arguments[node]):
        node = uses[0].edge[0]
    return nodes[node]["kind"] == "leaf" and not nodes[node]["root"] and nodes[node]["shape"] == shape
