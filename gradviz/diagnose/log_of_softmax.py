"""The logarithm of a softmax or sigmoid: minus infinity as soon as a probability underflows."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import COPIES, Readings

STABLE = {"_softmax": "torch.log_softmax", "sigmoid": "torch.nn.functional.logsigmoid"}


def log_of_softmax(readings: Readings) -> Iterator[Finding]:
    """`log(softmax(x))`, also with a small number added or a clamp between."""
    graph = readings.graph
    for node in readings.ops:
        if readings.op(node) not in ("log", "log2", "log10") or graph.cotangent(node) is None:
            continue
        before = readings.behind(node, COPIES | {"log", "log2", "log10", "clamp", "clamp_min", "gather"})
        while readings.op(before) == "add" and len(readings.arguments[before]) == 1:
            before = readings.behind(readings.arguments[before][0].edge[0], COPIES | {"clamp", "clamp_min"})
        value = graph.value(before)
        if readings.op(before) not in STABLE or value is None:
            continue
        yield found(
            graph,
            "log-of-softmax",
            "hint",
            f"{readings.name(node)} is the log of the {readings.function(before)} {readings.name(before)}, which loses "
            "digits and is −∞ once a probability underflows",
            f"use {STABLE[readings.op(before)]}, or a loss that takes logits",
            node=node,
            numbers={"smallest probability": float(value.min())},
        )
