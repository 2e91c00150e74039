"""Sigmoid, tanh and softmax so far out that their local partials are next to zero."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.readings import VIEWS, Readings
from gradviz.diagnose.units import flat_units, unit_dim

FLAT = 1e-3
"""A local partial below this is flat: |x| > 6.9 for sigmoid, whose steepest is 1/4, |x| > 4.1 for tanh."""
FLAT_SHARE = 0.9
"""A gate or a few heads may be shut in a healthy model, not nearly all elements of a layer."""
MIN_ELEMENTS = 16
"""Fewer may be flat by chance."""
ALLOWED = -1e4
"""Logits below this are masked out: they are not what saturates a softmax."""
LOSSES = frozenset({"log", "binary_cross_entropy", "log1p", "rsub"})
"""A loss that cancels the flat part: behind it a confident answer is no trouble."""


def saturation(readings: Readings) -> Iterator[Finding]:
    """Layers of which `FLAT_SHARE` of the elements, for softmax of the rows, are flat."""
    graph = readings.graph
    for node in readings.ops:
        op, value = readings.op(node), graph.value(node)
        if op not in ("sigmoid", "tanh", "_softmax", "_safe_softmax") or value is None or graph.cotangent(node) is None:
            continue
        if any(readings.op(user) in LOSSES for user in readings.users(node, VIEWS | {"clamp", "add"})):
            continue
        use = readings.arguments[node][0]
        flat = _flat(readings, node, op, value)
        if flat is None or flat.numel() < MIN_ELEMENTS or float(flat.float().mean()) < FLAT_SHARE:
            continue
        function = "softmax" if "softmax" in op else op
        numbers: Numbers = {"flat": int(flat.sum()), "of": flat.numel()}
        if function != "softmax":
            flat_count, count = flat_units(flat, unit_dim(readings, node))
            numbers |= {"units flat for every sample": flat_count, "units": count}
        before = readings.value_of(use)
        if before is not None and readings.has_elements(before):
            numbers["median |input|"] = float(before[before > ALLOWED].abs().float().median())
        what = "rows" if function == "softmax" else "elements"
        yield found(
            graph,
            "saturated",
            "warning",
            f"{readings.name(node)} = {function}({readings.name(use.edge[0])}) is saturated: "
            f"{float(flat.float().mean()):.0%} of its {what} have local partials below {FLAT:g}",
            "divide the logits by √d or a temperature" if what == "rows" else "scale weights or inputs down, or normalise",
            edge=use.edge,
            numbers=numbers,
        )


def _flat(readings: Readings, node: int, op: str, value: Tensor) -> Tensor | None:
    """Element by element, for softmax row by row, whether every local partial is below `FLAT`."""
    wide = value.float()
    if op == "sigmoid":
        return wide * (1 - wide) < FLAT
    if op == "tanh":
        return 1 - wide * wide < FLAT
    call = readings.graph.nodes[node]["call"]
    before = readings.value_of(readings.arguments[node][0])
    if call is None or before is None or value.ndim == 0:
        return None
    dim = call.args[1]
    choices = (before > ALLOWED).sum(dim) > 1
    largest = wide.amax(dim)
    return (largest * (1 - largest) < FLAT)[choices]
