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


def _is_one_function(readings: Readings, leaf: int) -> bool:
    """Whether one use feeds another: x / |x| and x - mean(x) are single functions, whose parts cancel by nature."""
    heads = {use.edge[1] for use in readings.graph.uses_of(leaf)}
    return any(not heads.isdisjoint(readings.ahead_of(head)) for head in heads)
