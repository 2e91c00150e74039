"""Layers of ReLU, GELU, SiLU and their like whose units are flat for every sample: nothing flows back through them."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.diagnose.finding import Finding, Severity, found
from gradviz.diagnose.readings import Readings
from gradviz.diagnose.units import flat_units, unit_dim

DEAD_SHARE = 0.9
"""Half of the units are dead by chance where a deep layer hardly depends on its input; nine of ten are not, in a layer of
`MIN_UNITS`: less than one in 10⁹."""
MIN_UNITS = 50
FEW_SAMPLES = 8
"""Of fewer, a unit may well be flat for each by chance: that it is dead they do not show."""
FLAT_BELOW = {"gelu": -4.0, "silu": -10.0, "mish": -10.0, "elu": -7.0, "hardswish": -3.0}
"""Left of this, derivatives are below 0.001."""


def dead_units(readings: Readings) -> Iterator[Finding]:
    """Layers in which all units, or `DEAD_SHARE` of many, are dead."""
    graph = readings.graph
    for node in readings.ops:
        flat = _flat(readings, node) if graph.cotangent(node) is not None else None
        if flat is None or not flat.numel():
            continue
        dead, units = flat_units(flat, unit_dim(readings, node))
        if dead < DEAD_SHARE * units or (dead < units and units < MIN_UNITS):
            continue
        if readings.is_a_term_of_the_loss(node):
            continue  # a margin that all samples keep
        before = readings.value_of(readings.arguments[node][0])
        if before is not None and not readings.norm(before):
            continue  # weights and biases that are zero: `symmetry` tells
        yield _finding(readings, node, before, dead, units, flat.numel() // units)


def _finding(readings: Readings, node: int, before: Tensor | None, dead: int, units: int, seen: int) -> Finding:
    """`before`: what goes into the activation; `seen`: how many numbers each unit has."""
    use, op = readings.arguments[node][0], readings.op(node)
    what = "are zero" if op == "relu" else f"lie below {FLAT_BELOW[op]:g}, where {op} is flat,"
    told = f"{dead} of {units} units of {readings.name(node)} = {op}({readings.name(use.edge[0])}) {what} for"
    severity: Severity = "hint" if seen < FEW_SAMPLES else "warning"
    if severity == "hint":
        which = "the one sample" if seen == 1 else f"all {seen} numbers that each has"
        message = f"{told} {which}: they get no gradient in this step"
        hint = "trace a step with more samples: units that are flat for all of these do not recover"
    else:
        message = f"{told} every sample: they get no gradient and cannot recover"
        hint = "lower the learning rate, and look at the biases and the scale of the input" + (
            ", or use leaky_relu or gelu" if op == "relu" else "; a normalisation before it keeps inputs near 0"
        )
    return found(
        readings.graph,
        "dead-relu" if op == "relu" else "dead-units",
        severity,
        message,
        hint,
        edge=use.edge,
        numbers={
            "dead units": dead,
            "units": units,
            "numbers of each unit": seen,
            f"largest input of {op}": "unknown" if before is None else readings.largest(before),
        },
    )


def _flat(readings: Readings, node: int) -> Tensor | None:
    """Which elements of an activation are flat; None for other calls."""
    op = readings.op(node)
    if op == "relu":
        value = readings.graph.value(node)
        return None if value is None else value == 0
    before = readings.value_of(readings.arguments[node][0]) if op in FLAT_BELOW else None
    return None if before is None else before < FLAT_BELOW[op]
