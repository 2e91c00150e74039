"""Local partials that the check found to be wrong: a hand-written backward, mostly."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.readings import Readings


def wrong_backward(readings: Readings) -> Iterator[Finding]:
    """One finding per edge whose verdict is a mismatch."""
    graph = readings.graph
    for entry in readings.report.edges:
        if entry.verdict != "mismatch":
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
            f"correct {op}.backward; gradviz.testing.assert_gradients keeps it right",
            edge=entry.edge,
            source=entry.source,
            numbers=numbers,
        )
