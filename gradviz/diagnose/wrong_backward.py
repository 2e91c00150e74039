"""Local partials that the check found to be wrong: a hand-written backward, mostly."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.readings import COPIES, FLAT_FUNCTIONS, Readings
from gradviz.graph import GradGraph


def wrong_backward(readings: Readings) -> Iterator[Finding]:
    """One finding per edge whose verdict is a mismatch.

    A custom Function whose forward changes nothing, or is flat, is written for the sake of its backward: it reverses or
    clips a gradient, or passes it straight through a rounding.
    """
    graph = readings.graph
    for entry in readings.report.edges:
        if entry.verdict != "mismatch" or is_for_its_backward(graph, entry.edge[1]):
            continue
        numbers: Numbers = {}
        if entry.autograd is not None and entry.reference is not None:
            numbers |= {"backward gives": entry.autograd, "true value": entry.reference}
        numbers["error in ULP"] = entry.error_ulp
        op = readings.op(entry.edge[1])
        yield found(
            graph,
            "wrong-backward",
            "error",
            f"the backward of {op} is wrong: {entry.name}: {entry.reason}",
            f"correct {op}.backward; gradviz.testing.assert_gradients keeps it right; where it is meant to differ, as an "
            f"approximation is, say so: graph.diagnose(report=graph.check(intended=[{op!r}]))",
            edge=entry.edge,
            source=entry.source,
            numbers=numbers,
        )


def is_for_its_backward(graph: GradGraph, node: int) -> bool:
    """Whether a forward is nothing but a copy, or its input reaches its output through steps only."""
    calls = graph.nodes[node]["inner_calls"]
    if not calls:
        return False
    if all(call.op in COPIES for call in calls):
        return True
    varying = {id(tensor) for tensor in graph.nodes[node]["inner_inputs"] if tensor is not None}
    for call in calls:
        if call.op not in FLAT_FUNCTIONS and any(id(argument.tensor) in varying for argument in call.tensor_arguments()):
            varying |= {id(output) for output in call.outputs if output is not None}
    return not any(id(output) in varying for output in calls[-1].outputs)
