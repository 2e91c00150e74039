"""Differences of two computed values that agree in nearly all their digits: what is left is rounding."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import VIEWS, Readings
from gradviz.graph import Use

LEFT_DIGITS = 64
"""A difference below so many units in the last place of its operands keeps six bits or less."""
MOST_LEFT = 1 / 16
"""A difference of a larger part of its operands is none of numbers that agree, in however few digits, as in bfloat16."""
SMALL = 16 * LEFT_DIGITS
"""In units in the last place: such a part of a sum has no digit more than what rounding leaves."""
MULTIPLES = VIEWS | {"mul", "div", "neg"}
CANCELLED_SHARE = 0.5
"""One element in a few may cancel by chance, not half of them."""
CHOICES = frozenset({"maximum", "minimum", "max", "min", "amax", "amin", "fmax", "fmin", "where", "clamp_min", "clamp_max"})


def cancellation(readings: Readings) -> Iterator[Finding]:
    """Subtractions through which a gradient flows and half of whose elements cancel, each line of code once."""
    graph = readings.graph
    told: set[str] = set()
    for node in readings.ops:
        value = graph.value(node)
        operands = _operands(readings, node)
        if operands is None or value is None or graph.cotangent(node) is None or not value.is_floating_point():
            continue
        if not value.numel() or not readings.is_finite(value):
            continue
        size = torch.maximum(*torch.broadcast_tensors(operands[0].abs(), operands[1].abs()))
        eps = torch.finfo(value.dtype).eps
        units = int(min(LEFT_DIGITS, MOST_LEFT / eps))
        spacing = eps * size
        lost = (value.abs() <= units * spacing) & (size > 0)
        is_met = _is_chosen(readings, node) or _is_of_one(readings, node)
        rounded = ~(_of_zero(readings, node, value) | (value == 0) & is_met)
        share = float((lost & rounded).sum() / rounded.sum().clamp(min=1))
        if share < CANCELLED_SHARE or not size.any() or not value.any():  # x − x is exact
            continue
        line = str(graph.nodes[node]["source"])
        if (line and line in told) or _is_made_up_for(readings, node, share):
            continue
        told.add(line)
        yield found(
            graph,
            "cancellation",
            "warning",
            f"{readings.name(node)} = {readings.op(node)}(...) subtracts numbers that agree in nearly all digits: in "
            f"{share:.0%} of its elements at most {units} units in the last place are left",
            "write it without the difference (mean((x − mean)²), log1p, expm1, 2·sin²(x/2)), or compute it in float64",
            node=node,
            numbers={
                "median |difference|": float(value.abs().float().median()),
                "median |operand|": float(size.float().median()),
                "spacing there": float(spacing.float().median()),
            },
        )


def _operands(readings: Readings, node: int) -> tuple[Tensor, Tensor] | None:
    """The two operands of a subtraction, or of a sum with a number, of which at least one was computed and none is data."""
    call = readings.graph.nodes[node]["call"]
    if call is None or readings.op(node) not in ("sub", "add", "rsub"):
        return None
    uses = readings.arguments[node]
    if not all(_is_computed(readings, use) for use in uses):
        return None
    values = [readings.value_of(use) for use in uses]
    numbers = [value for value in values if value is not None and value.is_floating_point()]
    if len(numbers) == 2:
        return (numbers[0], numbers[1]) if call.kwargs.get("alpha", 1) in (1, -1) else None
    if len(numbers) == 1 and len(call.args) > 1:
        scalar = next((argument for argument in call.args[:2] if isinstance(argument, (int, float))), None)
        return None if not scalar else (numbers[0], torch.full_like(numbers[0], abs(scalar)))
    return None


def _of_zero(readings: Readings, node: int, value: Tensor) -> Tensor:
    """Where a function of exactly 0 is subtracted, or subtracted from: exp(0) = 1 is not rounded, nor is what it leaves."""
    exact = torch.zeros_like(value, dtype=torch.bool)
    for use in readings.arguments[node]:
        inner = readings.arguments[use.edge[0]]
        entered = readings.value_of(inner[0]) if len(inner) == 1 else None
        if entered is not None and entered.shape == value.shape:
            exact |= entered == 0
    return exact


def _is_made_up_for(readings: Readings, node: int, share: float) -> bool:
    """Whether all that uses the difference, or a multiple of it, adds it to numbers beside which it is mere rounding.

    So does a generalized IoU: the area that a hull has more than its boxes is 0 where one lies in the other. An output is
    used by whoever asked for it.
    """
    seen, pending, is_added = {node}, [node], False
    while pending:
        at = pending.pop()
        if readings.graph.nodes[at]["is_output"]:
            return False
        for use in readings.graph.uses_of(at):
            head, op = use.edge[1], readings.op(use.edge[1])
            others = [readings.value_of(other) for other in readings.arguments[head] if other.edge != use.edge]
            is_divisor = op == "div" and use.edge[2] > 0
            if op in MULTIPLES and not is_divisor and head not in seen:
                seen.add(head)
                pending.append(head)
            elif op not in ("add", "sub") or len(others) != 1 or not _is_lost_in(readings.value_of(use), others[0], share):
                return False
            else:
                is_added = True
    return is_added


def _is_lost_in(part: Tensor | None, other: Tensor | None, share: float) -> bool:
    if part is None or other is None or not part.is_floating_point():
        return False
    return float((part.abs() <= SMALL * torch.finfo(part.dtype).eps * other.abs()).float().mean()) >= share


def _is_chosen(readings: Readings, node: int) -> bool:
    """Whether one operand is the larger (or smaller) of the other and something else: where it is the other, 0 is exact."""
    for use, other in permutations(readings.arguments[node], 2):
        maker, value = readings.behind(use.edge[0]), readings.value_of(other)
        choices = readings.arguments[maker] if readings.op(maker) in CHOICES else []
        for chosen in (readings.value_of(choice) for choice in choices):
            if chosen is not None and value is not None and torch.equal(chosen, value):
                return True
    return False


def _is_of_one(readings: Readings, node: int) -> bool:
    """Whether both operands show the same numbers, as all pairs of one tensor do: where two are equal, 0 is exact."""
    shown = {readings.behind(use.edge[0]) for use in readings.arguments[node]}
    return len(shown) < len(readings.arguments[node])


def _is_computed(readings: Readings, use: Use) -> bool:
    """Rounded, and differentiated: a copy that was cut off on purpose, as for a straight-through estimator, is not."""
    return use.partial is not None and readings.op(readings.behind(use.edge[0])) != ""
