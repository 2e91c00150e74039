"""A loss that is summed over the batch: its gradient, and with it the step, grows with the batch."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import COPIES, MATRIX_PRODUCTS, VIEWS, Readings

SUM = 2
"""`reduction="sum"` as aten counts it."""
MIN_BATCH = 8
"""A sum over fewer is rather one over coordinates or terms."""
LOSSES = {
    "mse_loss": 2,
    "l1_loss": 2,
    "smooth_l1_loss": 2,
    "huber_loss": 2,
    "binary_cross_entropy": 3,
    "binary_cross_entropy_with_logits": 4,
    "nll_loss_forward": 3,
    "nll_loss2d_forward": 3,
    "soft_margin_loss": 2,
}
"""Loss -> the place of its argument `reduction`."""
LAYERS = MATRIX_PRODUCTS | {"embedding", "index_select"}
ELEMENTWISE = frozenset({"pow", "abs", "add", "sub", "mul", "div", "neg"})
ROWS = {"mm": "self", "addmm": "mat1"}
"""Product -> the argument whose rows are its own."""
BESIDE_REWARDS = VIEWS - {"index"} | {"neg", "mul"}
"""What log-probabilities go through on their way into the loss of a policy."""


def reduction(readings: Readings) -> Iterator[Finding]:
    """A sum over a batch right at the output of a model with modules."""
    graph = readings.graph
    if not any(graph.nodes[node]["root"] for node in graph.leaves.values()):
        return
    for output in graph.outputs:
        node = readings.behind(output, VIEWS | {"neg"})
        summed = readings.value_of(readings.arguments[node][0]) if readings.arguments[node] else None
        if summed is None or not summed.ndim or summed.shape[0] < MIN_BATCH or not _sums(readings, node):
            continue
        if not _is_batch(readings, summed.shape[0]) or _is_of_features(readings, node):
            continue
        if _is_weighted(readings, node, summed) or _is_episode(readings, node):
            continue
        yield found(
            graph,
            "sum-reduction",
            "hint",
            f"the loss {readings.name(node)} is a sum over a batch of {summed.shape[0]}, not a mean: gradients grow "
            "with the batch",
            'use .mean() or reduction="mean", or scale the learning rate with the batch',
            node=node,
            numbers={
                "batch": summed.shape[0],
                "summed elements": summed.numel(),
                "largest gradient norm": max(
                    (readings.norm(gradient) for gradient in graph.gradients().values()), default=0.0
                ),
            },
        )


def _sums(readings: Readings, node: int) -> bool:
    call = readings.graph.nodes[node]["call"]
    op = readings.op(node)
    if op == "sum":
        return True
    place = LOSSES.get(op)
    return call is not None and place is not None and len(call.args) > place and call.args[place] == SUM


def _is_weighted(readings: Readings, node: int, summed: Tensor) -> bool:
    """Whether what is summed was divided by how many there are, or multiplied by weights that add up to 1."""
    maker = readings.behind(readings.arguments[node][0].edge[0], VIEWS | {"neg"})
    call = readings.graph.nodes[maker]["call"]
    if call is None or readings.op(maker) not in ("mul", "div"):
        return False
    numbers = [argument for argument in call.args if isinstance(argument, (int, float)) and argument]
    counts = [number if readings.op(maker) == "div" else 1 / number for number in numbers]
    if any(math.isclose(abs(count), size, rel_tol=1e-6) for count in counts for size in (summed.shape[0], summed.numel())):
        return True
    values = [readings.value_of(use) for use in readings.arguments[maker]] if readings.op(maker) == "mul" else []
    kept = [value for value in values if value is not None and value.shape == summed.shape and readings.has_elements(value)]
    return any(bool((value >= 0).all()) and math.isclose(float(value.sum()), 1, rel_tol=1e-3) for value in kept)


def _is_episode(readings: Readings, node: int) -> bool:
    """Whether what is summed are log-probabilities of what was drawn from them, times rewards: a sum over time."""
    ways = [use for use in readings.arguments[node] if use.partial is not None]
    while ways and readings.op(ways[0].edge[0]) in BESIDE_REWARDS:
        ways = [use for use in readings.arguments[ways[0].edge[0]] if use.partial is not None]
    picked = readings.arguments[ways[0].edge[0]] if ways else []
    if len(picked) < 2 or readings.op(ways[0].edge[0]) not in ("gather", "index"):
        return False
    return readings.op(readings.behind(picked[1].edge[0], COPIES)) == "multinomial"


def _is_batch(readings: Readings, size: int) -> bool:
    """Whether some data that a layer reads has so many rows; what features are compared with has rows of its own."""
    nodes = readings.graph.nodes
    data = (node for node in nodes if nodes[node]["kind"] == "constant" and nodes[node]["shape"][:1] == (size,))
    return any(_is_read_by_a_layer(readings, node) for node in data)


def _is_of_features(readings: Readings, node: int) -> bool:
    """Whether a row of what is summed is a feature's, as of z.T @ z: there may be as many as samples."""
    use = readings.arguments[node][0]
    while (op := readings.op(use.edge[0])) in ELEMENTWISE | VIEWS:
        ways = [one for one in readings.arguments[use.edge[0]] if one.partial is not None]
        if len(ways) != 1:
            return False
        use = ways[0]
    left = readings.argument(use.edge[0], ROWS[op]) if op in ROWS else None
    return left is not None and left.partial is not None and readings.op(left.edge[0]) in ("t", "transpose", "permute")


def _is_read_by_a_layer(readings: Readings, constant: int) -> bool:
    """Whether a product, a convolution or a table of embeddings is among what a constant goes into."""
    seen, pending = {constant}, [constant]
    while pending:
        node = pending.pop()
        if readings.op(node) in LAYERS:
            return True
        heads = {use.edge[1] for use in readings.graph.uses_of(node)} - seen
        seen |= heads
        pending += heads
    return False
