"""A gradient that arrives at a leaf which no variable holds: the tensor that has a name is not the leaf."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import COPIES, Readings

INITIALISING = COPIES | {"mul", "div", "add", "sub", "neg", "sqrt"}
"""What is done to a fresh leaf to initialise or move it: `randn(..., requires_grad=True) * 0.1`, `.to(device)`."""


def leaf_replaced(readings: Readings) -> Iterator[Finding]:
    """Leaves without a name of which only the scaled or moved copy has one.

    A view of the same shape does neither: `torch.autograd.functional` makes one to tell a use of a tensor from others.
    """
    graph = readings.graph
    for node in graph.leaves.values():
        attributes = graph.nodes[node]
        uses = graph.uses_of(node)
        if attributes["is_named"] or graph.cotangent(node) is None or len(uses) != 1:
            continue
        head = uses[0].edge[1]
        copy = graph.nodes[head]
        made_together = copy["source"] == attributes["source"]
        is_moved = copy["op"] not in ("view", "alias") or copy["shape"] != attributes["shape"]
        is_made_of_it_alone = copy["op"] in INITIALISING and len(readings.arguments[head]) == 1
        if copy["is_named"] and made_together and is_moved and is_made_of_it_alone:
            yield found(
                graph,
                "leaf-replaced",
                "error",
                f"{copy['name']} is not a leaf but the result of {copy['op']}: its .grad stays None, and the leaf that "
                "gets the gradient has no name in the code",
                f"initialise first and call {copy['name']}.requires_grad_() last, or build it under torch.no_grad()",
                edge=uses[0].edge,
                numbers={"norm of the gradient nobody reads": readings.norm(graph.cotangent(node))},
            )
