"""Gradients that are no numbers: which leaves get NaN or infinity, in how many elements, and how that is told.

Where a gradient is NaN there is nothing to verify, and yet something is wrong: whoever updates a weight with it loses it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gradviz.graph import GradGraph

_NAMED = 3
Counts = Mapping[str, tuple[int, int]]
"""Name of a leaf -> how many elements of its gradient are so, and of how many."""


def not_finite_gradients(graph: GradGraph) -> tuple[Counts, Counts]:
    """The leaves whose gradient holds NaN, and those whose gradient holds infinity."""
    nan: dict[str, tuple[int, int]] = {}
    infinite: dict[str, tuple[int, int]] = {}
    for name, gradient in graph.gradients().items():
        if gradient is None or gradient.device.type == "meta":
            continue
        numbers = _numbers(gradient)
        if bool(torch.isfinite(numbers.sum())):  # neither NaN nor infinity gets lost in a sum
            continue
        found = int(torch.isnan(numbers).sum()), int(torch.isinf(numbers).sum())
        nan |= {name: (found[0], gradient.numel())} if found[0] else {}
        infinite |= {name: (found[1], gradient.numel())} if found[1] else {}
    return nan, infinite


def not_finite_text(nan: Counts, infinite: Counts) -> str:
    """What to tell of them; "" where there are none.

    >>> not_finite_text({"w": (1, 3)}, {})
    'The gradient of w (1 of 3 elements) is NaN: graph.diagnose() says where that begins.'
    """
    found = {"NaN": nan, "infinite": infinite}
    told = [f"The gradient of {_listed(counts)} is {what}" for what, counts in found.items() if counts]
    return f"{'. '.join(told)}: graph.diagnose() says where that begins." if told else ""


def _listed(counts: Counts) -> str:
    first = list(counts.items())[:_NAMED]
    named = [name if total == 1 else f"{name} ({count} of {total} elements)" for name, (count, total) in first]
    more = f" and {len(counts) - _NAMED} more leaves" if len(counts) > _NAMED else ""
    return ", ".join(named) + more


def _numbers(gradient: Tensor) -> Tensor:
    """All that is stored of it."""
    stored = gradient.detach()
    if stored.layout is torch.sparse_coo:
        stored = stored._values()
    elif stored.layout is torch.jagged:
        stored = stored.values()
    elif stored.layout is not torch.strided:
        stored = stored.to_dense()
    return torch.view_as_real(stored.resolve_conj()) if stored.is_complex() else stored
