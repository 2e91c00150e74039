"""Cotangents too small for float16: they lose their digits below 6e-5 and are zero below 6e-8."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings
from gradviz.graph import Use
from gradviz.statistics import is_readable

LOST_SHARE = 0.1
"""This share of the elements that are not zero may be lost before it is told; a few small ones always are."""
NARROW = (torch.float16, torch.bfloat16)


def underflow(readings: Readings) -> Iterator[Finding]:
    """The edge, of those into or within float16 or bfloat16, that loses the largest share."""
    worst: tuple[float, Use, int, int] | None = None
    for node in readings.ops:
        for use in readings.arguments[node]:
            lost, alive = _lost(readings, use)
            if alive and lost / alive > max(LOST_SHARE, worst[0] if worst else 0.0):
                worst = (lost / alive, use, lost, alive)
    if worst is None:
        return
    share, use, lost, alive = worst
    tail, head, _ = use.edge
    contribution = use.contribution
    assert contribution is not None
    limits = torch.finfo(contribution.dtype)
    narrow = str(contribution.dtype).removeprefix("torch.")
    yield found(
        readings.graph,
        "underflow",
        "warning",
        f"going back from {readings.name(head)} to {readings.name(tail)}, {share:.0%} of the cotangent is too small for "
        f"{narrow}: zero, or below its smallest normal number",
        "scale the loss up (torch.amp.GradScaler), or use bfloat16",
        edge=use.edge,
        numbers={
            "lost": lost,
            "of": alive,
            "smallest normal number": limits.tiny,
            "largest |cotangent|": max(map(readings.largest_size, readings.cotangents(head))),
        },
    )


def _lost(readings: Readings, use: Use) -> tuple[int, int]:
    """(elements that became zero in a cast or have lost digits, elements that are not zero before)"""
    contribution = use.contribution
    if contribution is None or contribution.dtype not in NARROW or not is_readable(contribution):
        return 0, 0
    before = readings.graph.cotangent(use.edge[1])
    small = contribution.abs() < torch.finfo(contribution.dtype).tiny
    if readings.op(use.edge[1]) == "_to_copy" and before is not None and before.shape == contribution.shape:
        alive = before != 0
    else:
        alive = contribution != 0
    return int((small & alive).sum()), int(alive.sum())
