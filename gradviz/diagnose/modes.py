"""Dropout that is on although its module is in eval mode, and batch norms in a mode that cannot be meant."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings

BATCH_NORMS = frozenset({"native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm", "_native_batch_norm_legit"})
_TRAINING = 5
"""The place of `training` among the arguments of a batch norm."""


def modes(readings: Readings) -> Iterator[Finding]:
    """One finding per kind."""
    graph = readings.graph
    for node in readings.ops:
        if graph.nodes[node]["training"] is False and _is_dropout(readings, node) and graph.cotangent(node) is not None:
            yield found(
                graph,
                "dropout-in-eval",
                "warning",
                f"dropout runs in {graph.nodes[node]['module'] or 'a module'}, which is in eval mode: F.dropout has "
                "training=True unless it is told",
                "pass training=self.training, or use nn.Dropout",
                node=node,
                numbers=_zeros(readings, node),
            )
            break
    fresh = [node for node in readings.ops if readings.op(node) in BATCH_NORMS and _is_fresh(readings, node)]
    if fresh:
        yield found(
            graph,
            "batch-norm-in-eval",
            "warning",
            (f"{len(fresh)} batch norms run" if len(fresh) > 1 else "a batch norm runs")
            + " in eval mode with running statistics as they are made (mean 0, variance 1), which normalise nothing",
            "call model.train() before a training step; model.eval() is for after training",
            node=fresh[0],
            numbers=_statistics(readings, fresh[0]),
        )


def _is_dropout(readings: Readings, node: int) -> bool:
    """`native_dropout`, or a product with noise from `bernoulli` that is scaled up for what it drops."""
    if readings.op(node) == "native_dropout":
        return True
    if readings.op(node) != "mul":
        return False
    noise = readings.argument(node, "other")
    behind = None if noise is None else noise.edge[0]
    while behind is not None and readings.op(behind) == "div":
        behind = readings.arguments[behind][0].edge[0]
    return behind is not None and readings.op(behind) == "bernoulli"


def _zeros(readings: Readings, node: int) -> dict[str, float | int | str]:
    value = next(readings.values(node), None)
    return {} if value is None else {"share of zeros": float((value == 0).float().mean())}


def _is_fresh(readings: Readings, node: int) -> bool:
    """Not in training, with running statistics as they are made; a gradient flows."""
    call = readings.graph.nodes[node]["call"]
    if call is None or len(call.args) <= _TRAINING or call.args[_TRAINING] is not False:
        return False
    mean, variance = call.args[3], call.args[4]
    if mean is None or variance is None or not any(True for _ in readings.cotangents(node)):
        return False
    return not bool(mean.any()) and bool((variance == torch.ones_like(variance)).all())


def _statistics(readings: Readings, node: int) -> dict[str, float | int | str]:
    before = readings.value_of(readings.arguments[node][0])
    if before is None or before.numel() < 2:
        return {}
    return {"mean of its input": float(before.float().mean()), "variance of its input": float(before.float().var())}
