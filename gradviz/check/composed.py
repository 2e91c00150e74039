"""A whole graph of few leaves as one function: its calls, composed along its edges.

The composition follows the graph's edges, not autograd: a gradient that is cut, doubled or lost on the way is seen here
even where every single edge is right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gradviz.attributes import said_of_write
from gradviz.check.arrays import Index, nan_place
from gradviz.check.changed import Changed
from gradviz.check.heads import head_under_check, why_unknown_call
from gradviz.check.hooks import Hooks
from gradviz.check.nested import nested_kind
from gradviz.check.options import Meant
from gradviz.check.parts import parts_of
from gradviz.graph import GradGraph
from gradviz.opcall import OpCall
from gradviz.rerun import with_tensors
from gradviz.standin import StandIn
from gradviz.symbolic import NoRule, Reference, compose, find_rule

MAX_LEAF_ELEMENTS = 12
_CALLS_UP_TO = 2000
_ELEMENTS_UP_TO = 20_000


def leaf_elements(graph: GradGraph) -> int:
    """How many elements the leaves have together."""
    return sum(math.prod(graph.nodes[node]["shape"]) for node in graph.leaves.values())


def is_small(graph: GradGraph) -> bool:
    """Whether the leaves have at most `MAX_LEAF_ELEMENTS` elements together."""
    return leaf_elements(graph) <= MAX_LEAF_ELEMENTS


def why_not_whole(graph: GradGraph, meant: Meant, known: Hooks, changed: Changed) -> str:
    """Why gradients are not composed as a whole, in a sentence; "" where they are."""
    nested = next(((node, kind) for node in graph if (kind := nested_kind(graph, node))), None)
    elements = leaf_elements(graph) if nested is None else 0
    why = "" if nested is None else f"{graph.nodes[nested[0]]['name']} has to do with {nested[1]}"
    if elements > MAX_LEAF_ELEMENTS:
        why = f"the leaves have {elements:,} elements, more than {MAX_LEAF_ELEMENTS}"
    if not why and changed.any_name:
        why = f"{changed.any_name} was changed in place since the trace"
    for node in sorted(meant.functions)[:1] if not why else ():
        why = f"the backward of {graph.nodes[node]['op']} is meant to differ"
    for node, output in sorted(meant.hooks)[:1] if not why else ():
        hooks = " or ".join(known.on_cotangent(node, output))
        why = f"the hook {hooks} is meant to change the cotangent of {graph.nodes[node]['name']}"
    for node in sorted(meant.changed)[:1] if not why else ():
        hooks = " or ".join(known.on_contributions(node))
        why = f"the hook {hooks} is meant to change what {graph.nodes[node]['name']} passes on"
    for node in graph if not why else ():
        if graph.custom_function(node) is not None and (left := head_under_check(graph, node, None).left_torch):
            why = f"{graph.nodes[node]['op']} is not known by its calls ({left})"
            break
    return f"Gradients are not composed as a whole: {why}; each edge and each sum is checked instead." if why else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """The outputs of a graph as functions of its leaves.

    Attributes:
        truth: the function; its edge keys are places in the list of leaves.
        weights: (output, index) -> the cotangent that the backward pass starts from there, where it is not zero.
        calls: how many calls were composed.
        coarse: relative error of torch's derivatives, for kernels that hold a constant in float32.
        is_undefined: whether NaN comes in and makes NaN of an output, which then has no derivative, whatever a comparison
            inside, as of a maximum, makes of NaN in the expression.
        has_no_value: whether an output that a cotangent starts from has no true value, as 0/0 has none.
    """

    truth: Reference
    weights: dict[tuple[int, Index], float]
    calls: int
    coarse: float
    is_undefined: bool
    has_no_value: bool


def composed_graph(graph: GradGraph, names: list[str], moved: dict[int, Tensor]) -> Composed:
    """The outputs as functions of the leaves, `moved` ones (node -> value) being elsewhere than they were.

    Raises:
        NoRule: the graph is too large, or has a call without rule; the reason says which.
    """
    flow = _Flow(graph, moved)
    starting = graph.starting_cotangents()
    inputs = [flow.value(graph.leaves[name], 0) for name in names]
    outputs = [flow.value(node, place) for node, place in starting]
    if any(tensor.layout is not torch.strided for tensor in (*inputs, *outputs)):
        layouts = ((name, tensor.layout) for name, tensor in zip(names, inputs, strict=True))
        sparse = next((f"{name} ({layout})" for name, layout in layouts if layout is not torch.strided), "the output")
        raise NoRule(f"{sparse} is sparse, and whole gradients are composed of dense ones; each edge and sum is checked")
    started = {place: parts_of(cotangent) for place, cotangent in starting.items()}
    weights = {
        (slot, index): float(cotangent[index])
        for slot, cotangent in enumerate(started.values())
        for index in np.ndindex(*cotangent.shape)
        if cotangent[index] != 0
    }
    truth = compose(flow.calls, inputs, outputs, names=names, constants=flow.constants)
    for slot, output in enumerate(truth.outputs):
        if output is None:
            raise NoRule(f"output {slot} of the graph is not differentiable")
    has_no_value = False
    for slot, index in () if moved else weights:
        recorded, exact = float(parts_of(outputs[slot])[index]), truth.value(index, output=slot)
        has_no_value |= math.isnan(recorded) and math.isnan(float(exact.value))
        if not abs(recorded - float(exact.value)) <= exact.bound and math.isfinite(recorded):
            raise NoRule(f"the composed expression does not give the output's value: {_step_that_differs(graph)}")
    return Composed(
        truth=truth,
        weights=weights,
        calls=len(flow.calls),
        coarse=sum(map(_coarse, flow.calls)),
        is_undefined=any(bool(output.isnan().any()) for output in outputs) and nan_place(_entered(flow.calls)) is not None,
        has_no_value=has_no_value,
    )


def _entered(calls: Sequence[OpCall]) -> list[Tensor]:
    """What calls read and none of them made."""
    made = {id(output) for call in calls for output in call.outputs}
    return [argument.tensor for call in calls for argument in call.tensor_arguments() if id(argument.tensor) not in made]


def _step_that_differs(graph: GradGraph) -> str:
    """Why a composed expression gives other numbers than the code."""
    for node, ((op, source), *_) in graph.unseen_writes().items():
        where = f" at {source}" if source else ""
        return f"{graph.nodes[node]['name']} is changed by {said_of_write(op)}, unseen by autograd{where}"
    return "some step is not what was recorded"


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
            elif attributes["inner_calls"] and not any(use.partial is not None for use in graph.arguments_of(node)):
                continue  # a custom Function that no gradient comes back to: its value is a constant
            elif attributes["inner_calls"]:
                self.calls += self._connected_inside(node)
            else:
                raise NoRule(why_unknown_call(attributes["op"]))
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
        made = self._arguments(node, {argument.position: argument.tensor for argument in call.tensor_arguments()})
        changed = {
            argument.position: made[argument.position]
            for argument in call.tensor_arguments()
            if argument.position in made and made[argument.position] is not argument.tensor
        }
        return self._with_values(node, with_tensors(call, changed) if changed else call)

    def _connected_inside(self, node: int) -> list[OpCall]:
        snapshots = self._graph.nodes[node]["inner_inputs"]
        made = self._arguments(node, dict(enumerate(snapshots)))
        head = head_under_check(self._graph, node, None)
        if head.left_torch:
            raise NoRule(head.left_torch)
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
        # What follows reads the node's value: the very object, where the calls inside made an equal one.
        same = {id(snapshot): self.value(node, place) for place, snapshot in head.made_inside().items()}
        return [_with_outputs(call, same) for call in calls]

    def _arguments(self, node: int, read: Mapping[int, Tensor | None]) -> dict[int, Tensor]:
        """Position -> the tail's value, or a constant where the gradient is cut.

        Such a constant holds the numbers that were read, which may be a whole of which the tail wrote a part.
        """
        made = {}
        for use in self._graph.arguments_of(node):
            value = self.value(use.edge[0], use.output)
            if use.partial is None:
                own = read.get(use.edge[2])
                value = (value if own is None or isinstance(own, StandIn) else own).detach().clone()
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


def _with_outputs(call: OpCall, same: dict[int, Tensor]) -> OpCall:
    if not any(id(output) in same for output in call.outputs):
        return call
    outputs = tuple(output if output is None else same.get(id(output), output) for output in call.outputs)
    return OpCall(overload=call.overload, args=call.args, kwargs=call.kwargs, outputs=outputs)


def _coarse(call: OpCall) -> float:
    """Relative error of torch's own derivative, for kernels that hold a constant in float32."""
    try:
        return float(getattr(find_rule(call.overload), "coarse", 0.0))
    except NoRule:
        return 0.0
