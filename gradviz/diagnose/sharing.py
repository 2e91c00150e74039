"""A parameter that is used several times, whose uses pull in opposite directions."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings

LEFT_SHARE = 0.1
"""Contributions without any relation add up to the root of the sum of their squares; a tenth of that is opposition."""
MIN_ELEMENTS = 8
"""A few numbers cancel by chance."""


def sharing(readings: Readings) -> Iterator[Finding]:
    """Leaves of which little is left in the sum over the uses."""
    graph = readings.graph
    if _is_a_critics(readings):
        return
    for name, node in graph.leaves.items():
        gradient = graph.cotangent(node)
        parts = [readings.norm(use.contribution) for use in graph.uses_of(node) if use.contribution is not None]
        if gradient is None or len(parts) < 2 or gradient.ndim < 2 or gradient.numel() < MIN_ELEMENTS:
            continue  # a bias adds the same to all that is compared: its parts cancel by nature
        unrelated = math.hypot(*parts)
        left = readings.norm(gradient)
        if not math.isfinite(unrelated) or not left < LEFT_SHARE * unrelated or _is_one_function(readings, node):
            continue
        yield found(
            graph,
            "opposing-uses",
            "hint",
            f"the {len(parts)} uses of {name} pull in opposite directions: their contributions cancel but for "
            f"{left / unrelated:.1%}",
            "look at the signs of the loss terms, or give each use a parameter of its own",
            node=node,
            numbers={"norm of the gradient": left, "largest contribution": max(parts), "uses": len(parts)},
        )


def _is_a_critics(readings: Readings) -> bool:
    """Whether the loss is the mean score of some samples less that of others, as of an energy or a critic: these oppose."""
    graph = readings.graph
    pending = [] if graph.loss is None else [(graph.loss[0], 1)]
    signs: set[int] = set()
    while pending:
        node, sign = pending.pop()
        op, uses = readings.op(node), [use for use in readings.arguments[node] if use.partial is not None]
        if op in ("add", "sub", "rsub"):
            for use in uses:
                is_less = op == "rsub" or (op == "sub" and use.edge != readings.arguments[node][0].edge)
                pending.append((use.edge[0], -sign if is_less else sign))
        elif op == "neg" and uses:
            pending.append((uses[0].edge[0], -sign))
        elif op in ("mean", "sum") and uses:
            scores = readings.value_of(uses[0])
            if scores is not None and scores.ndim and 1 < scores.numel() == scores.shape[0]:
                signs.add(sign)
    return signs == {1, -1}


def _is_one_function(readings: Readings, leaf: int) -> bool:
    """Whether one use feeds another: x / |x| and x - mean(x) are single functions, whose parts cancel by nature."""
    heads = {use.edge[1] for use in readings.graph.uses_of(leaf)}
    return any(not heads.isdisjoint(readings.ahead_of(head)) for head in heads)
