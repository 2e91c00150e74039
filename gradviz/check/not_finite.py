"""Gradients that are no numbers: which leaves get NaN or infinity, in how many elements, where that begins, how it is told.

Where a gradient is NaN there is nothing to verify, and yet something is wrong: whoever updates a weight with it loses it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gradviz.check.formulas import edge_name
from gradviz.graph import GradGraph, Use
from gradviz.standin import is_kept

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


def nan_begins(graph: GradGraph, leaf: int) -> str:
    """The edge that makes, going back, the NaN which reaches a leaf, of a cotangent without; "" where there is none."""
    waiting, seen, found = [leaf], {leaf}, list[Use]()
    while waiting:
        for use in graph.uses_of(waiting.pop()):
            head = use.edge[1]
            if not _has_nan(use.contribution) or head in seen:
                continue
            if any(map(_has_nan, _cotangents(graph, head))):
                waiting.append(head)
                seen.add(head)
            else:
                found.append(use)
    if not found:
        return ""
    use = min(found, key=lambda use: graph.nodes[use.edge[1]]["backward_order"])
    source = graph.nodes[use.edge[1]]["source"]
    of_zero = ", of a cotangent of 0: 0 × ∞ is NaN, and so is 0 × NaN" if _is_of_zero(graph, use) else ""
    return f"NaN begins, going back, in {edge_name(graph, use.edge)}{f' ({source})' if source else ''}{of_zero}"


def _is_of_zero(graph: GradGraph, use: Use) -> bool:
    """Whether each NaN of a contribution stands where the only cotangent of the head is 0."""
    cotangents, contribution = _cotangents(graph, use.edge[1]), use.contribution
    if len(cotangents) != 1 or contribution is None or cotangents[0].shape != contribution.shape:
        return False
    return is_kept(cotangents[0]) and bool((cotangents[0][contribution.isnan()] == 0).all())


def _cotangents(graph: GradGraph, node: int) -> list[Tensor]:
    found = (graph.cotangent(node, place) for place in graph.nodes[node]["outputs"] or ())
    return [one for one in found if one is not None]


def _has_nan(tensor: Tensor | None) -> bool:
    return tensor is not None and is_kept(tensor) and bool(_numbers(tensor).isnan().any())


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
