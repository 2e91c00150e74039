"""Logits whose classes a reshape mixed with their places: `logits.reshape(B, V, T)` of (B, T, V), for transpose."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.likelihood import NLL
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings
from gradviz.view.notation import shape_text

RESHAPES = frozenset(
    {"view", "_unsafe_view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "clone", "alias", "_to_copy"}
)
"""Ops that keep the order of the elements: several in a row are one reshape."""


def reshaped_classes(readings: Readings) -> Iterator[Finding]:
    """Cross-entropies over a dimension as long as the layer before has units, that does not hold these units."""
    graph = readings.graph
    for node in readings.ops:
        call = graph.nodes[node]["call"]
        if readings.op(node) != "_log_softmax" or call is None or graph.cotangent(node) is None:
            continue
        if not any(readings.op(user) in NLL for user in readings.users(node)):
            continue
        use = readings.arguments[node][0]
        layer = product = readings.behind(use.edge[0], RESHAPES)
        if readings.op(layer) == "add":  # of a bias
            product = readings.behind(readings.arguments[layer][0].edge[0], RESHAPES)
        made, read = graph.value(layer), readings.value_of(use)
        if made is None or read is None or read.ndim < 2 or made.ndim < 2 or readings.op(product) not in MATRIX_PRODUCTS:
            continue
        units, classes = 1 if readings.op(product) == "convolution" else made.ndim - 1, call.args[1] % read.ndim
        count = made.shape[units]
        apart = math.prod(made.shape[units + 1 :])
        where = {dim for dim in range(read.ndim) if read.shape[dim] == count and math.prod(read.shape[dim + 1 :]) == apart}
        if count < 2 or read.shape[classes] != count or where:
            continue  # where the units still are in a dimension of their own, another as long may be the classes
        yield found(
            graph,
            "reshaped-classes",
            "error",
            f"a reshape makes {readings.name(use.edge[0])} {shape_text(tuple(read.shape))} of {readings.name(layer)} "
            f"{shape_text(tuple(made.shape))}: the {count} numbers along dimension {classes}, which "
            f"{readings.function(node)} takes for the classes of one place, are units of several places",
            "move the dimension with transpose or movedim; reshape keeps the order of the elements",
            edge=use.edge,
            numbers={"classes": count, "apart by": math.prod(read.shape[classes + 1 :])},
        )
