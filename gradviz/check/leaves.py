"""Whole gradients of small graphs: the output as one symbolic expression of the leaves, differentiated by sympy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from gradviz.check.arrays import Index, as_array, moduli, widened
from gradviz.check.closed_formula import closed_form_text
from gradviz.check.composed import Composed, composed_graph
from gradviz.check.failures import FAILURES, failure_reason
from gradviz.check.judge import Comparison
from gradviz.check.kinks import INFINITE, NO_SIDES, STEP, is_between, steps_beside
from gradviz.check.parts import joined, parts_of
from gradviz.graph import GradGraph
from gradviz.symbolic import Row, unit_roundoff

_DIRECTIONS = 2
_FARTHER, _GROWN = 2.0**10, 2.0**-6
_CLEARLY = 0.25
"""How little a derivative may move beside where it is, as a share of the error that it is to show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafOutcome:
    """What was found about one leaf: the comparison and the gradient's closed form."""

    node: int
    comparison: Comparison
    formula: str


def check_leaves(graph: GradGraph) -> list[LeafOutcome]:
    """Compares the gradient of every leaf with that of the composed expression."""
    names = list(graph.leaves)
    shapes = {name: _shape(graph, name) for name in names}
    comparisons = {name: _comparison(graph, name) for name in names}
    formulas = dict.fromkeys(names, "")
    try:
        composed = composed_graph(graph, names, {})
        beside = _Beside(graph, names, composed.truth.vjp(composed.weights))
        is_real = not any(tensor["dtype"].is_complex for _, tensor in graph.nodes(data=True))
        for slot, (name, comparison) in enumerate(comparisons.items()):
            _compare_leaf(graph, slot, shapes[name], composed, beside, comparison)
            if comparison.total and is_real:  # else the composed expression is one of real and imaginary parts
                formulas[name] = closed_form_text(composed, name, comparison.index or (0,) * len(shapes[name]), shapes)
    except FAILURES as error:
        for comparison in comparisons.values():
            comparison.doubt(failure_reason(error))
    return [LeafOutcome(node=graph.leaves[name], comparison=comparisons[name], formula=formulas[name]) for name in names]


def _comparison(graph: GradGraph, name: str) -> Comparison:
    """Its own value is read first, then those of the others: the expression is one of all leaves."""
    leaves = [graph.nodes[graph.leaves[one]] for one in (name, *(other for other in graph.leaves if other != name))]
    return Comparison(leaves[0]["dtype"], read=[leaf["value"] for leaf in leaves if leaf["value"] is not None])


def _compare_leaf(
    graph: GradGraph,
    slot: int,
    shape: tuple[int, ...],
    composed: Composed,
    beside: _Beside,
    comparison: Comparison,
) -> None:
    """Every element of the gradient of leaf `slot` beside that of the composed expression, which is in `beside.row`."""
    names, row = beside.names, beside.row
    gradient = graph.nodes[graph.leaves[names[slot]]]["cotangent"]
    got = np.zeros(shape) if gradient is None else as_array(gradient)
    sizes = moduli(got, comparison.dtype)
    comparison.method = "symbolic"
    for index in np.ndindex(*shape):
        exact, number = row.partial(slot, index), float(got[index])
        comparison.overflowed |= composed.truth.overflowed
        if composed.is_undefined:
            comparison.element(index or None, number, math.nan, 0.0)
            continue
        error = number - float(exact.value)
        same = number == float(exact.value) or abs(error) <= exact.bound
        if composed.has_no_value and math.isnan(number):
            comparison.element(index or None, number, math.nan, 0.0)
            continue
        if row.kinks and not same and not beside.decides((slot, index), error):
            _judge_on_kink(graph, names, slot, index, number, row.kinks, comparison)
            continue
        bound = exact.bound + composed.coarse * abs(float(exact.value))
        whole = 0.0 if sizes is None else float(sizes[index])
        comparison.element(index or None, number, exact.value, bound, modulus=whole)
        if row.kinks and same and math.isfinite(number):
            comparison.on_kink(index or None, number, row.kinks)
    comparison.checked = comparison.total = got.size
    if not got.size:
        comparison.note("nothing to check: it has no elements")


def _shape(graph: GradGraph, name: str) -> tuple[int, ...]:
    """Of the leaf's parts where it is complex."""
    attributes = graph.nodes[graph.leaves[name]]
    return (*attributes["shape"], 2) if attributes["dtype"].is_complex else attributes["shape"]


class _Beside:
    """The whole gradient a little beside where it was taken, at all elements at once.

    A kink excuses only what depends on it. An element that moves nothing which lies on a kink has a derivative like any
    other, unless another element's jump (a rounding, a comparison) decides what it is multiplied by: then it is another one
    beside.
    """

    def __init__(self, graph: GradGraph, names: list[str], row: Row) -> None:
        self.names = names
        self.row = row
        self._graph = graph

    def decides(self, element: tuple[int, Index], error: float) -> bool:
        """Whether an error of this size is one, though something else lies on a kink."""
        if element in self.row.kinked or not math.isfinite(error):
            return False
        around = [float(row.partial(*element).value) for row in (self.row, *self._rows)]
        return bool(np.ptp(around) < _CLEARLY * abs(error))

    @cached_property
    def _rows(self) -> list[Row]:
        return list(self._moved())

    def _moved(self) -> Iterator[Row]:
        random = torch.Generator().manual_seed(0)
        for _ in range(_DIRECTIONS):
            signs = {}
            for name in self.names:
                node = self._graph.leaves[name]
                parts = parts_of(widened(self._graph.nodes[node]["value"]))
                signs[node] = torch.randint(2, parts.shape, generator=random) * 2.0 - 1.0
            for way in (-1.0, 1.0):
                moved = {}
                for node, sign in signs.items():
                    value = self._graph.nodes[node]["value"]
                    parts = parts_of(widened(value))
                    step = max(steps_beside(value.dtype))
                    moved[node] = joined(parts + way * step * sign * parts.abs().clamp(min=STEP), value.dtype)
                composed = composed_graph(self._graph, self.names, moved)
                yield composed.truth.vjp(composed.weights)


def _judge_on_kink(
    graph: GradGraph, names: list[str], slot: int, index: Index, got: float, kinks: tuple[str, ...], comparison: Comparison
) -> None:
    """Between the derivatives a little to the left and to the right of the leaf element, any number is right."""
    node = graph.leaves[names[slot]]
    value = graph.nodes[node]["value"]
    if not math.isfinite(parts_of(value)[index]) and math.isfinite(got):
        comparison.doubt(NO_SIDES.format(names=", ".join(kinks), got=f"{got:.4g}"), "undefined")
        return

    def beside(step: float) -> float:
        moved = parts_of(widened(value)).clone()
        moved[index] += step * max(abs(float(moved[index])), STEP)
        composed = composed_graph(graph, names, {node: joined(moved, value.dtype)})
        return float(composed.truth.vjp(composed.weights).partial(slot, index).value)

    sides = [beside(step) for step in steps_beside(value.dtype)]
    low, high = min(sides), max(sides)
    if is_between(got, (low, high), unit_roundoff(comparison.dtype)):
        comparison.on_kink(index or None, got, kinks, (low, high))
    elif math.isfinite(got):
        sides_text = f"the one-sided derivatives are {low:.4g} and {high:.4g}"
        comparison.doubt(f"on a kink ({', '.join(kinks)}), where torch takes {got:.4g}; {sides_text}", "kink")
    elif math.isinf(got) and all(map(math.isfinite, sides)):
        comparison.show(index or None, got, None)
        comparison.doubt(INFINITE.format(names=", ".join(kinks), got=f"{got:g}"), "undefined")
    elif math.isnan(got) and any(_grows(beside(way * _FARTHER), beside(way)) for way in (-STEP, STEP)):
        comparison.show(index or None, got, None)
        beyond = "the true derivative grows beyond all bounds beside it"
        comparison.doubt(f"undefined ({', '.join(kinks)}): torch gives {got:g}; {beyond}", "undefined")
    elif all(map(math.isfinite, sides)) and not comparison.overflowed:
        comparison.show(index or None, got, None)
        sides_text = f"the one-sided derivatives are {low:.4g} and {high:.4g}"
        comparison.wrong(f"torch gives {got:g} on a kink ({', '.join(kinks)}), where {sides_text}")
    else:
        comparison.show(index or None, got, None)
        sides_text = f"the true derivative is {sides[0]:.4g} to the left and {sides[-1]:.4g} to the right"
        comparison.doubt(f"undefined ({', '.join(kinks)}): torch gives {got:g}; {sides_text}", "undefined")


def _grows(far: float, near: float) -> bool:
    """Whether a derivative becomes larger on the way to where it is none, as 1/x and log x do, and 1 and x do not."""
    return abs(near) > (1 + _GROWN) * abs(far)
