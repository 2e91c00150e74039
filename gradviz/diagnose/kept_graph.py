"""A buffer that still holds the graph of an earlier step: the gradient goes on into that step, and into all before it.

A state that a module carries from step to step, and that nobody detaches, does so: each step takes longer, and needs more
memory, than the one before. A plain attribute may be set on purpose, as a network that makes the weights of another does.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings


def kept_graph(readings: Readings) -> Iterator[Finding]:
    """One for each buffer into whose earlier graph a gradient goes."""
    graph = readings.graph
    for node, buffer in graph.kept_graphs().items():
        if graph.cotangent(node) is None:
            continue
        earlier = [one for one in readings.behind_of(node) | {node} if readings.op(one)]
        reading = [use.edge[1] for use in graph.uses_of(node) if use.partial is not None]
        own = buffer.partition(" ")[0]
        yield found(
            graph,
            "earlier-graph",
            "warning",
            f"the buffer {buffer} holds the graph of an earlier step: the gradient goes on through {len(earlier)} "
            f"call{'s' * (len(earlier) != 1)} that ran before this step, and through more with each step",
            f"detach it where a step ends, or where it is read: self.{own} = self.{own}.detach(); where the loop calls "
            "backward() once for several steps, all is well",
            node=node,
            source=next((line for head in sorted(reading) if (line := graph.nodes[head]["source"])), ""),
            numbers={"calls of earlier steps": len(earlier), "norm of the gradient there": readings.arriving(node)},
        )
