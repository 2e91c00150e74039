"""A value written to under `no_grad` or through `.data`: the loss feels it, the gradient passes as if there were none."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings


def unseen_write(readings: Readings) -> Iterator[Finding]:
    """Results that were written to where autograd does not look."""
    graph = readings.graph
    for node, writes in graph.unseen_writes().items():
        name, ops = graph.nodes[node]["name"], ", ".join(dict.fromkeys(f"{op}_" for op, _ in writes))
        yield found(
            graph,
            "unseen-write",
            "warning",
            f"{name} is changed in place by {ops} under no_grad or through .data or .detach(), which autograd does not see: "
            "what reads it later gets the new numbers, and the gradient passes as if nothing had been written",
            "compute a new tensor where autograd sees it, as torch.clamp(h, ...) or torch.where(mask, h, 0); where the "
            "gradient is meant to pass straight through, say so in a custom autograd.Function",
            node=node,
            source=next((line for _, line in writes if line), ""),
            numbers={"writes": len(writes)},
        )
