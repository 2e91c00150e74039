"""Leaves whose `.grad` was not empty when the step was traced: the next backward pass adds to it."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import Readings


def earlier_gradient(readings: Readings) -> Iterator[Finding]:
    """One finding for all leaves that held a gradient other than zero."""
    graph = readings.graph
    before = {
        name: float(norm)
        for name, node in graph.leaves.items()
        if (norm := graph.nodes[node]["earlier_gradient"]) is not None and float(norm) != 0
    }
    if before:
        largest = max(before, key=lambda name: before[name])
        held = graph.optimized()
        passed_by = [name for name in before if name not in held] if held else []
        clears = [f"{name}.zero_grad()" for name in dict.fromkeys(held[name].optimizer for name in before if name in held)]
        clears += ["model.zero_grad()"] * bool(passed_by)
        yield found(
            graph,
            "earlier-gradient",
            "warning",
            f"{listed(list(before))} had a gradient before this step; backward() adds to it"
            + (f"; no optimizer holds {listed(passed_by)}, so its zero_grad() passes by" if passed_by else ""),
            f"call {' and '.join(clears) or 'optimizer.zero_grad()'} before backward(); if you accumulate gradients over "
            "steps on purpose, or keep a momentum in them by p.grad *= 0.9, all is well",
            node=graph.leaves[largest],
            numbers={
                "leaves with a gradient": len(before),
                "largest norm before, at least": before[largest],
                "norm of this step's": readings.norm(graph.cotangent(graph.leaves[largest])),
            },
        )
