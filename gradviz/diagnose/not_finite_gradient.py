"""The first edge, going back, that turned a finite cotangent into NaN or infinity: 0 × ∞ behind `torch.where`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, Numbers, found, listed
from gradviz.diagnose.not_finite import SHOWN, counts
from gradviz.diagnose.not_finite_causes import emptied_rows
from gradviz.diagnose.readings import Readings
from gradviz.errors import PartialError
from gradviz.graph import Use
from gradviz.signs import derivative_sign
from gradviz.view.notation import number_text


def not_finite_gradient(readings: Readings) -> Iterator[Finding]:
    """The edges where it began, unless a value that is not finite already tells why."""
    graph = readings.graph
    if any(not readings.is_finite(value) for node in graph.outputs for value in readings.values(node)):
        return
    lost = [name for name, node in graph.leaves.items() if not readings.is_finite(graph.cotangent(node))]
    origins = [use for head in _in_backward_order(readings) for use in _broken(readings, head)]
    if not lost:  # a softmax over rows that a mask empties, and that are set to 0 behind it
        origins = [use for use in origins if not emptied_rows(readings, use.edge[1])]
    for use in origins[:SHOWN]:
        yield _finding(readings, use, lost)


def _in_backward_order(readings: Readings) -> list[int]:
    order: dict[int, int] = dict(readings.graph.nodes(data="backward_order"))
    return sorted((node for node in readings.ops if order[node] is not None), key=lambda node: order[node])


def _broken(readings: Readings, head: int) -> Iterator[Use]:
    if all(map(readings.is_finite, readings.cotangents(head))):
        yield from (use for use in readings.arguments[head] if not readings.is_finite(use.contribution))


def _finding(readings: Readings, use: Use, lost: list[str]) -> Finding:
    graph = readings.graph
    tail, head, _ = use.edge
    contribution = use.contribution
    assert contribution is not None
    product, numbers = _written_out(readings, use, contribution)
    end = f"it reaches the gradient of {listed(lost)}" if lost else "it is masked again before it reaches a leaf"
    partial = derivative_sign(readings.name(head), graph.output_name(tail, use.output))
    return found(
        graph,
        "not-finite-gradient",
        "error" if lost else "hint",
        f"going back, {partial} ({readings.function(head)}) turns a finite cotangent into one that is not{product}; {end}",
        _overflow_hint(use, numbers) or _hint(readings, head, product),
        edge=use.edge,
        numbers=numbers,
    )


def _written_out(readings: Readings, use: Use, contribution: Tensor) -> tuple[str, Numbers]:
    """`: 0 × ∞ = NaN` at the first such element of an elementwise call, and the numbers."""
    numbers = counts(contribution)
    value, cotangent = readings.value_of(use), readings.graph.cotangent(use.edge[1])
    local = _diagonal(use)
    if local is None or cotangent is None or local.shape != cotangent.shape:
        return "", numbers
    if not (readings.has_elements(contribution) and readings.has_elements(cotangent)):
        return "", numbers
    broken = ~torch.isfinite(contribution)
    if not broken.any():
        return "", numbers
    first = int(broken.reshape(-1).nonzero()[0, 0])
    upstream, factor, product = (float(tensor.reshape(-1)[first]) for tensor in (cotangent, local, contribution))
    numbers |= {"upstream": upstream, "local partial": factor}
    if value is not None and readings.has_elements(value):
        numbers["value there"] = float(value.reshape(-1)[first])
    return f": {number_text(upstream)} × {number_text(factor)} = {number_text(product)}", numbers


def _diagonal(use: Use) -> Tensor | None:
    """The local partials of an elementwise call; None where it is none, or can no longer be asked."""
    try:
        return None if use.partial is None else use.partial.diagonal()
    except PartialError:
        return None


def _overflow_hint(use: Use, numbers: Numbers) -> str:
    """What to do where a finite product is beyond the range of a narrow dtype; "" elsewhere."""
    assert use.contribution is not None
    dtype = use.contribution.dtype
    upstream, factor = (float(numbers.get(name, math.nan)) for name in ("upstream", "local partial"))
    if dtype != torch.float16 or not torch.finfo(dtype).max < abs(upstream * factor) < math.inf:
        return ""
    return (
        f"overflow of float16, whose largest number is {torch.finfo(dtype).max:.0f}, on the way back: lower the loss scale, "
        "or what the loss is multiplied by"
    )


def _hint(readings: Readings, head: int, product: str) -> str:
    op = readings.op(head)
    if rows := emptied_rows(readings, head):
        return (
            f"row {rows[0]} of its argument is −∞ everywhere: leave each row at least one place, or mask with a large "
            "negative number such as −1e9 in place of −∞"
        )
    if product and math.isnan(_result(product)) and "0 × " in product:
        return (
            "a mask behind this call does not help, since 0 × ∞ is NaN: mask its argument before the call, as in "
            f"{op}(where(mask, x, 1))"
        )
    return f"keep the argument of {op} away from where its derivative is infinite, for example by adding a small number"


def _result(product: str) -> float:
    return math.nan if product.endswith("NaN") else 0.0
