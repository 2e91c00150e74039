"""Whole gradients of small graphs: the output as one symbolic expression of the leaves, differentiated by sympy.

The composition follows the graph's edges, not autograd: a gradient that is cut, doubled or lost on the way is seen here
even where every single edge is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from gradviz.check.failures import FAILURES, failure_reason
from gradviz.check.heads import head_under_check
from gradviz.check.judge import Comparison, Index, as_array
from gradviz.check.kinks import SLACK, STEP, with_tensors
from gradviz.graph import GradGraph
from gradviz.opcall import OpCall
from gradviz.symbolic import NoRule, Reference, compose, find_rule, formula_text
from gradviz.symbolic.formula import shown_number

MAX_LEAF_ELEMENTS = 12
_CALLS_UP_TO = 2000
_ELEMENTS_UP_TO = 20_000
_CALLS_WITH_FORMULA = 60
_FORMULA_LENGTH = 400
_LARGEST_DENOMINATOR = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafOutcome:
    """What was found about one leaf: the comparison and the gradient's closed form."""

    node: int
    comparison: Comparison
    formula: str


def is_small(graph: GradGraph) -> bool:
    """Whether the leaves have at most `MAX_LEAF_ELEMENTS` elements together."""
    sizes: list[int] = [math.prod(graph.nodes[node]["shape"]) for node in graph.leaves.values()]
    return sum(sizes) <= MAX_LEAF_ELEMENTS


def check_leaves(graph: GradGraph) -> list[LeafOutcome]:
    """Compares the gradient of every leaf with that of the composed expression."""
    names = list(graph.leaves)
    comparisons = {name: Comparison(graph.nodes[graph.leaves[name]]["dtype"]) for name in names}
    formulas = dict.fromkeys(names, "")
    try:
        composed = _composed(graph, names, {})
        row = composed.truth.vjp(composed.weights)
        for slot, name in enumerate(names):
            gradient = graph.nodes[graph.leaves[name]]["cotangent"]
            shape = graph.nodes[graph.leaves[name]]["shape"]
            comparison = comparisons[name]
            got = np.zeros(shape) if gradient is None else as_array(gradient)
            for index in np.ndindex(*shape):
                exact = row.partial(slot, index)
                number = float(got[index])
                comparison.method = "symbolic"
                if row.kinks and not abs(number - float(exact.value)) <= exact.bound:
                    _judge_on_kink(graph, names, slot, index, number, row.kinks, comparison)
                else:
                    if row.kinks:
                        comparison.note(f"on a kink ({', '.join(row.kinks)}): torch takes {number:g}")
                    bound = exact.bound + composed.coarse * abs(float(exact.value))
                    comparison.element(index or None, number, exact.value, bound)
            comparison.checked = comparison.total = got.size
            formulas[name] = _formula(composed, name, comparison.index or (0,) * len(shape))
    except FAILURES as error:
        for comparison in comparisons.values():
            comparison.doubt(failure_reason(error))
    return [LeafOutcome(node=graph.leaves[name], comparison=comparisons[name], formula=formulas[name]) for name in names]


def closed_form(graph: GradGraph, leaf: str, index: Index) -> sp.Expr:
    """sympy's derivative of the output with respect to one element of a leaf, in elements named `x`, `W_0_1`.

    Raises:
        NoRule: the graph is too large, starts from weights or has a call without rule; the reason says which.
    """
    if not is_small(graph):
        raise NoRule(f"the leaves have more than {MAX_LEAF_ELEMENTS} elements together")
    try:
        composed = _composed(graph, list(graph.leaves), {})
    except FAILURES as error:
        raise NoRule(failure_reason(error)) from error
    expression = _single_output(composed)
    if expression is None:
        raise NoRule("the graph has several outputs, or weights, or is too long for one formula")
    shown = _derivative(expression, "_".join([leaf, *map(str, index)]))
    if shown is None:
        raise NoRule("the formula would be too long to read")
    return shown


def _judge_on_kink(
    graph: GradGraph, names: list[str], slot: int, index: Index, got: float, kinks: tuple[str, ...], comparison: Comparison
) -> None:
    """Between the derivatives a little to the left and to the right of the leaf element, any number is right."""
    node = graph.leaves[names[slot]]
    sides = []
    for sign in (-1, 1):
        moved = graph.nodes[node]["value"].detach().to(torch.float64).clone()
        moved[index] += sign * STEP * max(abs(float(moved[index])), STEP)
        composed = _composed(graph, names, {node: moved})
        sides.append(float(composed.truth.vjp(composed.weights).partial(slot, index).value))
    slack = SLACK * max(map(abs, sides))
    if min(sides) - slack <= got <= max(sides) + slack:
        comparison.note(f"on a kink ({', '.join(kinks)}): torch takes {got:g}, between {min(sides):g} and {max(sides):g}")
    else:
        comparison.doubt(
            f"on a kink ({', '.join(kinks)}): torch takes {got:g}; the sides have {sides[0]:g} and {sides[1]:g}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Composed:
    truth: Reference
    weights: dict[tuple[int, Index], float]
    calls: int
    coarse: float


def _composed(graph: GradGraph, names: list[str], moved: dict[int, Tensor]) -> _Composed:
    """The output as a function of the leaves, `moved` ones (node -> value) being elsewhere than they were."""
    flow = _Flow(graph, moved)
    starting = graph.starting_cotangents()
    inputs = [flow.value(graph.leaves[name], 0) for name in names]
    outputs = [flow.value(node, place) for node, place in starting]
    if any(tensor.is_complex() or tensor.layout is not torch.strided for tensor in (*inputs, *outputs)):
        raise NoRule("the gradient of complex or sparse tensors is not composed")
    weights = {
        (slot, index): float(cotangent[index])
        for slot, cotangent in enumerate(starting.values())
        for index in np.ndindex(*cotangent.shape)
        if cotangent[index] != 0
    }
    truth = compose(flow.calls, inputs, outputs, names=names, constants=flow.constants)
    for slot, output in enumerate(truth.outputs):
        if output is None:
            raise NoRule(f"output {slot} of the graph is not differentiable")
    for slot, index in () if moved else weights:
        recorded, exact = float(outputs[slot][index]), truth.value(index, output=slot)
        if not abs(recorded - float(exact.value)) <= exact.bound and math.isfinite(recorded):
            raise NoRule("the composed expression does not give the output's value: some step is not what was recorded")
    return _Composed(truth=truth, weights=weights, calls=len(flow.calls), coarse=sum(map(_coarse, flow.calls)))


class _Flow:
    """The calls of a graph with one snapshot object per value, as `compose` wants them, and where no gradient flows."""

    def __init__(self, graph: GradGraph, moved: dict[int, Tensor]) -> None:
        self._graph = graph
        self._values = dict(moved)
        self.calls: list[OpCall] = []
        self.constants: list[Tensor] = []
        elements = 0
        for node, attributes in graph.nodes(data=True):
            if attributes["kind"] != "op" or not attributes["requires_grad"]:
                continue
            if attributes["call"] is not None:
                self.calls.append(self._connected(node, attributes["call"]))
            elif attributes["inner_calls"]:
                self.calls += self._connected_inside(node)
            else:
                raise NoRule(f"what {attributes['op']} ran is not known")
            elements += sum(tensor.numel() for tensor in self.calls[-1].outputs if tensor is not None)
            if len(self.calls) > _CALLS_UP_TO or elements > _ELEMENTS_UP_TO:
                raise NoRule("the graph is too large to be composed into one expression")

    def value(self, node: int, place: int) -> Tensor:
        found = self._values[node] if node in self._values else self._graph.value(node, place)
        if found is None:
            raise NoRule(f"the value of {self._graph.nodes[node]['name']} is not known")
        return found

    def _connected(self, node: int, call: OpCall) -> OpCall:
        """The call with the very snapshots that its tails have as values, and fresh ones where no gradient flows."""
        made = self._arguments(node)
        changed = {
            argument.position: made[argument.position]
            for argument in call.tensor_arguments()
            if argument.position in made and made[argument.position] is not argument.tensor
        }
        return self._with_values(node, with_tensors(call, changed) if changed else call)

    def _connected_inside(self, node: int) -> list[OpCall]:
        made = self._arguments(node)
        snapshots = self._graph.nodes[node]["inner_inputs"]
        head = head_under_check(self._graph, node, None)
        reads = {edge.edge[0] for edge in head.edges if head.leads_on(snapshots[edge.position])}
        for edge in head.edges:
            if edge.use.contribution is not None and edge.edge[0] not in reads:
                raise NoRule(f"how {edge.use.argument or 'an argument'} enters {head.attributes['op']} is not recorded")
        replaced = {
            id(snapshot): made[position]
            for position, snapshot in enumerate(snapshots)
            if snapshot is not None and position in made
        }
        calls = []
        for call in self._graph.nodes[node]["inner_calls"]:
            changed = {
                argument.position: replaced[id(argument.tensor)]
                for argument in call.tensor_arguments()
                if id(argument.tensor) in replaced
            }
            calls.append(with_tensors(call, changed) if changed else call)
        return calls

    def _arguments(self, node: int) -> dict[int, Tensor]:
        """Position -> the tail's value, or a constant of the same numbers where the gradient is cut."""
        made = {}
        for use in self._graph.arguments_of(node):
            value = self.value(use.edge[0], use.output)
            if use.partial is None:
                value = value.detach().clone()
                self.constants.append(value)
            made[use.edge[2]] = value
        return made

    def _with_values(self, node: int, call: OpCall) -> OpCall:
        """The call with the node's values as outputs: a recovered call may hold copies of them."""
        values = self._graph.nodes[node]["value"]
        outputs = list(call.outputs)
        used = self._graph.nodes[node]["outputs"]
        for place in used:
            value = values[place] if isinstance(values, tuple) else values
            if place < len(outputs) and value is not None:
                outputs[place] = value
        if all(new is old for new, old in zip(outputs, call.outputs, strict=True)):
            return call
        return OpCall(overload=call.overload, args=call.args, kwargs=call.kwargs, outputs=tuple(outputs))


def _coarse(call: OpCall) -> float:
    """Relative error of torch's own derivative, for kernels that hold a constant in float32."""
    try:
        return float(getattr(find_rule(call.overload), "coarse", 0.0))
    except NoRule:
        return 0.0


def _formula(composed: _Composed, name: str, index: Index) -> str:
    """The closed form of d(output)/d(leaf element); "" where it would be too long to read."""
    if composed.calls <= _CALLS_WITH_FORMULA and not composed.weights:
        return "0"
    expression = _single_output(composed)
    shown = None if expression is None else _derivative(expression, "_".join([name, *map(str, index)]))
    text = "" if shown is None else formula_text(shown)
    return text if len(text) <= _FORMULA_LENGTH else ""


def _single_output(composed: _Composed) -> sp.Expr | None:
    """The one output that the backward pass starts from with 1; None where there is no such, or it is too long."""
    if composed.calls > _CALLS_WITH_FORMULA or list(composed.weights.values()) != [1]:
        return None
    slot, place = next(iter(composed.weights))
    output = composed.truth.outputs[slot]
    return None if output is None else output.expression(place)


@lru_cache(maxsize=512)
def _derivative(expression: sp.Expr, symbol: str) -> sp.Expr | None:
    if sp.count_ops(expression) > _CALLS_WITH_FORMULA:
        return None
    derivative = sp.diff(expression, sp.Symbol(symbol, real=True))
    return derivative.replace(
        lambda node: node.is_Rational and node.q > _LARGEST_DENOMINATOR, lambda number: shown_number(float(number))
    )
