"""Numbers that shrink from call to call until their products are too small for their dtype, and are zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import Readings, called
from gradviz.errors import PartialError
from gradviz.graph import Edge, Use
from gradviz.standin import is_kept

ADDED = frozenset({("addmm", "self"), ("addmv", "self"), ("baddbmm", "self")})
"""Arguments of products that are no factors, besides each bias and what a batch norm remembers."""


class TooSmall(NamedTuple):
    """Where a product became zero of which no factor is.

    Attributes:
        node: the call whose value it is, or through which nothing goes back.
        edge: the one along which nothing goes back; None of a value.
        sizes: the largest magnitude in each factor of a value, in the cotangent.
        dtype: for which it is too small.
    """

    node: int
    edge: Edge | None
    sizes: tuple[float, ...]
    dtype: torch.dtype


def too_small(readings: Readings, use: Use, zeros: Sequence[Use]) -> TooSmall | None:
    """Why an edge passes on nothing but zeros, where rounding made them of numbers that are not zero.

    Args:
        readings: of the graph.
        use: the edge.
        zeros: the factors by which it multiplies that are zero everywhere.
    """
    return next((place for zero in zeros if (place := _made_zero(readings, zero))), None) or _passed_nothing(readings, use)


def shrunk(readings: Readings, places: Sequence[TooSmall], names: Sequence[str]) -> Finding:
    """One finding for all leaves whose gradient is zero for that reason: at the first value, else the last cotangent."""
    values = [place for place in places if place.edge is None]
    first = min(values, key=lambda place: place.node) if values else max(places, key=lambda place: place.node)
    name, op = readings.name(first.node), called(readings.op_written(first.node))
    what = f"{name} ({op})" if values else f"what goes back through {name} ({op})"
    dtype = str(first.dtype).removeprefix("torch.")
    return found(
        readings.graph,
        "zero-gradient",
        "warning",
        f"the gradient of {listed(list(names))} is zero everywhere: {what} is a product too small for {dtype}, and rounded "
        "to zero",
        "numbers shrink from call to call: let the weights start larger, normalise between layers (a batch norm in training "
        "mode, a layer norm), or add residual connections",
        node=first.node if first.edge is None else None,
        edge=first.edge,
        numbers={
            "largest factors" if values else "largest |cotangent|": ", ".join(f"{size:.3g}" for size in first.sizes),
            "smallest number": torch.finfo(first.dtype).smallest_normal * torch.finfo(first.dtype).eps,
            "leaves with a zero gradient": len(names),
        },
    )


def is_added(readings: Readings, use: Use) -> bool:
    """Whether a function adds this argument to a product, or takes it away."""
    added = (readings.op_written(use.edge[1]), use.argument) in ADDED
    return added or use.argument in ("bias", "running_mean", "running_var")


def _made_zero(readings: Readings, zero: Use) -> TooSmall | None:
    """The call that made a zero of numbers that are none, if their product is too small; what adds is no factor."""
    seen, pending = {zero.edge[0]}, [zero.edge[0]]
    while pending:
        node = pending.pop()
        factors = [use for use in readings.arguments[node] if _is_factor(readings, use)]
        sizes = [readings.largest_size(value) for use in factors if (value := readings.value_of(use)) is not None]
        behind = [use.edge[0] for use, size in zip(factors, sizes, strict=True) if not size]
        if behind:
            pending += [tail for tail in behind if tail not in seen]
            seen |= set(behind)
            continue
        dtype = next((value.dtype for value in readings.values(node) if value.is_floating_point()), None)
        if sizes and dtype is not None and min(math.prod(sizes), *sizes) < torch.finfo(dtype).tiny:
            return TooSmall(node=node, edge=None, sizes=tuple(sizes), dtype=dtype)
    return None


def _is_factor(readings: Readings, use: Use) -> bool:
    value = readings.value_of(use)
    return value is not None and value.is_floating_point() and value.numel() > 0 and not is_added(readings, use)


def _passed_nothing(readings: Readings, use: Use) -> TooSmall | None:
    """The edge itself, where it passes on something of a larger cotangent."""
    graph, head = readings.graph, use.edge[1]
    for place, partial in graph.partials_of(use.edge).items():
        cotangent = graph.cotangent(head, place)
        size = 0.0 if cotangent is None or not is_kept(cotangent) else readings.largest_size(cotangent)
        if cotangent is None or not 0 < size < 1:
            continue
        try:
            passed = partial.vjp(cotangent / size)
        except PartialError:  # of a loaded graph, or one whose buffers are freed: nobody can tell
            continue
        # A sum that comes to nothing, as before a softmax, comes to what rounding leaves for another cotangent.
        if 0 < readings.norm(passed) * size < torch.finfo(cotangent.dtype).tiny:
            return TooSmall(node=head, edge=use.edge, sizes=(size,), dtype=cotangent.dtype)
    return None
