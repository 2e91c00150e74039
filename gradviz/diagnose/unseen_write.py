"""A value written to under `no_grad` or through `.data`: the loss feels it, the gradient passes as if there were none."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.attributes import DATA, said_of_write
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings


def unseen_write(readings: Readings) -> Iterator[Finding]:
    """Results that were written to where autograd does not look."""
    graph = readings.graph
    for node, writes in graph.unseen_writes().items():
        name, ops = graph.nodes[node]["name"], dict.fromkeys(op for op, _ in writes)
        in_place = ", ".join(said_of_write(op) for op in ops if op != DATA)
        said = [f"changed in place by {in_place} under no_grad or through .data or .detach()"] if in_place else []
        said += [f"given other numbers by {name}{said_of_write(DATA)}"] if DATA in ops else []
        is_leaf = graph.nodes[node]["kind"] == "leaf"
        yield found(
            graph,
            "unseen-write",
            "warning",
            f"{name} is {' and '.join(said)}, which autograd does not see: what reads it later, the backward pass with it, "
            "gets the new numbers, and the gradient passes as if nothing had been written",
            "use it with the same numbers until the backward pass is over: write a parameter only after that, and compute "
            "with a new tensor where the step needs another"
            if is_leaf
            else "compute a new tensor where autograd sees it, as torch.clamp(h, ...) or torch.where(mask, h, 0); where the "
            "gradient is meant to pass straight through, say so in a custom autograd.Function",
            node=node,
            source=next((line for _, line in writes if line), ""),
            numbers={"writes": len(writes)},
        )
