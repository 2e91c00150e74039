"""A contrastive loss whose softmax counts how similar each sample is to itself: the diagonal of the matrix of all pairs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import COPIES, VIEWS, Readings

MIN_SAMPLES = 4
ALIKE = 1e-4
"""A matrix is symmetric where it differs from its transpose by no more, beside its largest number: by rounding."""
PRODUCTS = frozenset({"mm", "bmm", "mul", "_cdist_forward", "_euclidean_dist"})
FAR = 12
"""How many calls may lie between the product of all pairs and the softmax: scalings, shifts, casts."""


def self_similarity(readings: Readings) -> Iterator[Finding]:
    """Softmaxes over rows of a symmetric matrix whose diagonal is the largest of each row, and never the target."""
    graph = readings.graph
    for node in readings.ops:
        read = _normalised(readings, node) if graph.cotangent(node) is not None else None
        if read is None:
            continue
        logits, picked = read
        value = graph.value(logits)
        if value is None or not _is_of_pairs(value) or not _pairs_with_itself(readings, logits):
            continue
        size = value.shape[0]
        if not _only_off_diagonal(readings, picked, size):
            continue
        share = value.double().softmax(-1).diagonal().mean()
        yield found(
            graph,
            "self-similarity",
            "warning",
            f"the rows of {readings.name(logits)} hold how similar each of {size} samples is to all of them, itself "
            f"included: no target is on the diagonal, but in the softmax it takes {float(share):.0%} of the probability",
            f"mask it before: similarity.masked_fill(torch.eye({size}, dtype=torch.bool), -torch.inf)",
            node=logits,
            numbers={
                "mean probability on the diagonal": float(share),
                "samples": size,
                "mean on the diagonal": float(value.diagonal().mean()),
                "mean beside it": float((value.sum() - value.diagonal().sum()) / (size * (size - 1))),
            },
        )


def _normalised(readings: Readings, node: int) -> tuple[int, list[Tensor | None]] | None:
    """The logits that a call takes the logarithm of a softmax of, or a part of one, and what picks from that.

    The latter are cotangents or contributions, shaped like the logits, that do not come from the sum of all exponentials.
    """
    graph, op = readings.graph, readings.op(node)
    if op == "_log_softmax" or (op == "_softmax" and "log" in map(readings.op, readings.users(node, VIEWS | {"gather"}))):
        return readings.arguments[node][0].edge[0], [graph.cotangent(node)]
    if op == "logsumexp":
        logits = readings.arguments[node][0].edge[0]
        return logits, [use.contribution for use in graph.uses_of(logits) if use.edge[1] != node]
    if op == "log":
        total = readings.behind(node, COPIES | {"log"})
        exponentials = readings.arguments[total][0].edge[0] if readings.op(total) == "sum" else total
        if readings.op(exponentials) == "exp":
            logits = readings.arguments[exponentials][0].edge[0]
            others = [use for one in (logits, exponentials) for use in graph.uses_of(one)]
            return logits, [use.contribution for use in others if use.edge[1] not in (total, exponentials)]
    return None


def _only_off_diagonal(readings: Readings, picked: list[Tensor | None], size: int) -> bool:
    """Whether something is picked of the matrix, and nothing of its diagonal."""
    read = [one for one in picked if one is not None and one.shape == (size, size)]
    return any(readings.norm(one) > 0 for one in read) and not any(bool(one.diagonal().any()) for one in read)


def _is_of_pairs(value: Tensor) -> bool:
    """Whether a matrix is symmetric, and has in each row its largest number on the diagonal."""
    if value.ndim != 2 or value.shape[0] != value.shape[1] or value.shape[0] < MIN_SAMPLES:
        return False
    if not bool(torch.isfinite(value).all()) or not bool((value.diagonal() >= value.amax(-1)).all()):
        return False
    return bool((value - value.T).abs().max() <= ALIKE * value.abs().max())


def _pairs_with_itself(readings: Readings, node: int) -> bool:
    """Whether a matrix was made by a product, or distances, of a tensor with itself."""
    for _ in range(FAR):
        uses = readings.arguments[node]
        if readings.op(node) in PRODUCTS and len(uses) == 2:
            one, other = (readings.behind(use.edge[0], VIEWS | {"div"}) for use in uses)
            if one == other or readings.op(node) != "mul":
                return one == other
        if not uses:
            return False
        node = uses[0].edge[0]
    return False
