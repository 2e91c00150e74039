"""Attentions in a row without residual connections: each averages, and soon all positions of a sequence hold the same.

What tells the positions apart shrinks doubly exponentially with the depth (Dong, Cordonnier and Loukas, "Attention is not
all you need: pure attention loses rank doubly exponentially with depth", 2021). A layer norm keeps the gradients of such a
model as large as those of a healthy one, so nothing else tells.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.attentions import Attention, attentions
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings

APART = 0.1
"""How far the rows of a sequence are from their mean, beside their size, where positions differ; with random weights 0.9."""
ALIKE = 1e-3
FEWEST_POSITIONS = 4
FEWEST_ALIKE = 2
"""So many attentions in a row have nothing to choose from."""


def rank_collapse(readings: Readings) -> Iterator[Finding]:
    """At most one, where values of the first attention differ from place to place, and those of the last ones do not."""
    spreads = [(one, spread) for one in attentions(readings) if (spread := _spread(readings, one)) is not None]
    if not spreads or spreads[0][1] < APART or spreads[-1][1] > ALIKE:
        return
    count = next((place for place, (_, spread) in enumerate(reversed(spreads)) if spread > ALIKE), len(spreads))
    alike = [one for one, _ in spreads[-count:]]
    if count < FEWEST_ALIKE or any(_is_beside_a_residual(readings, one) for one, _ in spreads):
        return
    last, first = alike[-1], spreads[0][0]
    if first.node not in readings.behind_of(last.node):
        return
    node = alike[0].node
    yield found(
        readings.graph,
        "rank-collapse",
        "warning",
        f"from the values of {readings.graph.nodes[node]['module'] or readings.name(node)} on, attention "
        f"{len(spreads) - count + 1} of {len(spreads)}, all positions hold the same: each attention averages over them, and "
        "no residual connection brings back what tells them apart",
        "add the input of each attention, and of each feed-forward layer, to its output: x = x + attention(norm(x))",
        node=node,
        numbers={
            "attentions": len(spreads),
            "with equal positions": count,
            "spread of positions over their size at the first": spreads[0][1],
            "at the last": spreads[-1][1],
        },
    )


def _spread(readings: Readings, attention: Attention) -> float | None:
    """How far the values of the keys are from their mean over all positions, beside their size; None of too few."""
    values = readings.value_of(attention.values)
    if values is None or values.ndim < 2 or values.shape[attention.rows] < FEWEST_POSITIONS:
        return None
    if not readings.has_elements(values) or not readings.is_finite(values):
        return None
    wide = values.float()
    size = float(wide.norm())
    return float((wide - wide.mean(attention.rows, keepdim=True)).norm()) / size if size else None


def _is_beside_a_residual(readings: Readings, attention: Attention) -> bool:
    """Whether anything that was made without an attention is added to what was made of its result."""
    own = readings.ahead_of(attention.node) | {attention.node}
    for node in own:
        tails = [use.edge[0] for use in readings.arguments[node] if use.partial is not None]
        if readings.op(node) != "add" or len(tails) != 2 or own.issuperset(tails):
            continue
        if all(readings.graph.nodes[tail]["kind"] == "op" for tail in tails):
            return True
    return False
