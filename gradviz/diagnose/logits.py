"""What stands before a loss that takes logits: a softmax, a sigmoid or a relu does not belong there."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, Severity, extremes, found
from gradviz.diagnose.readings import COPIES, Readings

Table = dict[str, tuple[str, Severity, str]]
_BEFORE_SOFTMAX: Table = {
    "_softmax": ("double-softmax", "error", "cross_entropy and log_softmax take logits: remove the softmax before them"),
    "sigmoid": ("squashed-logits", "warning", "cross_entropy takes logits of any size: remove the sigmoid before it"),
    "relu": ("squashed-logits", "warning", "cross_entropy takes logits of either sign: remove the relu before it"),
}
_BEFORE_SIGMOID: Table = {
    "sigmoid": (
        "sigmoid-before-logits",
        "error",
        "binary_cross_entropy_with_logits applies the sigmoid itself: remove it, or use binary_cross_entropy",
    ),
    "_softmax": (
        "sigmoid-before-logits",
        "error",
        "binary_cross_entropy_with_logits takes logits: remove the softmax before it",
    ),
}
SQUASHED: dict[str, Table] = {
    "_log_softmax": _BEFORE_SOFTMAX,
    "_softmax": {"_softmax": _BEFORE_SOFTMAX["_softmax"]},
    "binary_cross_entropy_with_logits": _BEFORE_SIGMOID,
}
"""What takes logits -> what must not stand before it -> kind, severity and hint of the finding."""


def logits(readings: Readings) -> Iterator[Finding]:
    """Squashing functions right before `log_softmax`, `softmax` or the binary cross-entropy with logits."""
    graph = readings.graph
    for node in readings.ops:
        op = "_log_softmax" if _is_log_softmax(readings, node) else readings.op(node)
        wrong = SQUASHED.get(op)
        if wrong is None or graph.cotangent(node) is None:
            continue
        use = readings.arguments[node][0]
        before = readings.behind(use.edge[0], COPIES)
        if readings.op(before) not in wrong:
            continue
        kind, severity, hint = wrong[readings.op(before)]
        value = graph.value(before)
        yield found(
            graph,
            kind,
            severity,
            f"{readings.name(node)} takes the {readings.function(before)} {readings.name(before)} for logits: "
            f"{op.strip('_')} is applied on top of it",
            hint,
            edge=use.edge,
            numbers={} if value is None else extremes(value, "smallest logit", "largest logit"),
        )


def _is_log_softmax(readings: Readings, node: int) -> bool:
    """x − logsumexp(x), as `torch.distributions.Categorical` writes it."""
    uses = readings.arguments[node]
    if readings.op(node) != "sub" or len(uses) != 2 or readings.op(uses[1].edge[0]) != "logsumexp":
        return False
    return readings.arguments[uses[1].edge[0]][0].edge[0] == uses[0].edge[0]
