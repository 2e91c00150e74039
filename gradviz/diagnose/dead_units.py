"""ReLU layers whose units are zero for every sample: nothing flows back through them."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings
from gradviz.diagnose.units import flat_units, unit_dim

DEAD_SHARE = 0.9
"""Half of the units are dead by chance where a deep layer hardly depends on its input; nine of ten are not, in a layer of
`MIN_UNITS`: less than one in 10⁹."""
MIN_UNITS = 50


def dead_units(readings: Readings) -> Iterator[Finding]:
    """Layers in which all units, or `DEAD_SHARE` of many, are dead."""
    graph = readings.graph
    for node in readings.ops:
        value = graph.value(node)
        if readings.op(node) != "relu" or value is None or graph.cotangent(node) is None or not value.numel():
            continue
        dead, units = flat_units(value == 0, unit_dim(readings, node))
        if dead < DEAD_SHARE * units or (dead < units and units < MIN_UNITS):
            continue
        if readings.is_a_term_of_the_loss(node):
            continue  # a margin that all samples keep
        use = readings.arguments[node][0]
        before = readings.value_of(use)
        yield found(
            graph,
            "dead-relu",
            "warning",
            f"{dead} of {units} units of {readings.name(node)} = relu({readings.name(use.edge[0])}) are zero for every "
            "sample: they get no gradient and cannot recover",
            "lower the learning rate, look at the biases and the scale of the input, or use leaky_relu or gelu",
            edge=use.edge,
            numbers={
                "dead units": dead,
                "units": units,
                "largest input of relu": "unknown" if before is None else float(before.max()),
            },
        )
