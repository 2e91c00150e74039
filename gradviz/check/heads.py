"""One node with the edges into it, as the check reads them: calls, used outputs, partials of each output.

Autograd's side of every comparison is asked for here, of the autograd node itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gradviz.attributes import INNER_BACKWARD
from gradviz.check.arrays import Index
from gradviz.check.judge import Comparison
from gradviz.check.parts import Partial, of_parts, parts_shape, vjps_of
from gradviz.graph import Edge, GradGraph, Use
from gradviz.opcall import SHAPE_READING, OpCall
from gradviz.recording.functions import CustomFunction
from gradviz.standin import StandIn
from gradviz.symbolic import NoRule, Reference, reference


@dataclass(slots=True, kw_only=True)
class EdgeUnderCheck:
    """One differentiable edge; shapes and indices are those of the parts where a side is complex (see `parts.py`).

    Attributes:
        use: what the edge carries.
        partials: place of an output of the head -> the partial of that output.
        comparison: what was found so far.
        changed_by: the hooks that change its contribution.
        as_meant: whether they are meant to.
        is_hooked_alone: whether nothing but that is wrong.
    """

    use: Use
    partials: dict[int, Partial]
    comparison: Comparison
    changed_by: str = ""
    as_meant: bool = False
    is_hooked_alone: bool = False

    @property
    def edge(self) -> Edge:
        return self.use.edge

    @property
    def position(self) -> int:
        return self.use.edge[2]

    @property
    def in_shape(self) -> tuple[int, ...]:
        return next(iter(self.partials.values())).in_shape

    @property
    def in_numel(self) -> int:
        return math.prod(self.in_shape)


@dataclass(slots=True, kw_only=True)
class HeadUnderCheck:
    """One op node and the differentiable edges into it that are to be checked.

    Attributes:
        node: its number.
        attributes: of the graph's node.
        outputs: place of each used floating output -> its recorded value (None where it is not known).
        edges: in order of their keys.
        function: the custom Function that the node is one of, if any.
        runs_backward: whether its backward() gives leaves their gradient by a backward pass of its own.
        constants: the places of outputs that are read without a gradient only, as the mean that a normalization saves.
    """

    node: int
    attributes: dict[str, Any]
    outputs: dict[int, Tensor | None]
    function: CustomFunction | None = None
    runs_backward: bool = False
    constants: frozenset[int] = frozenset()
    edges: list[EdgeUnderCheck] = field(default_factory=list)
    _truth: Reference | None = None
    _left_torch: str | None = None

    @property
    def call(self) -> OpCall | None:
        return self.attributes["call"]  # type: ignore[no-any-return]

    @property
    def inner_calls(self) -> tuple[OpCall, ...]:
        return self.attributes["inner_calls"]  # type: ignore[no-any-return]

    def truth(self) -> Reference:
        """What is true of the recorded call; made once for its edges and its value.

        Raises:
            NoRule: there is no symbolic rule, or the call is not known.
        """
        if self._truth is None:
            if self.call is None:
                raise NoRule(self.unknown_call)
            self._truth = reference(self.call)
        return self._truth

    @property
    def backward_name(self) -> str:
        """Who gives the numbers of the edges, as a mismatch names it."""
        return "backward()" if self.function is None else f"{self.function.name}.backward()"

    @property
    def backward_source(self) -> str:
        """The backward of a custom Function with its line: "Swish.backward at file.py:12"; "" for torch's own."""
        line = "" if self.function is None else self.function.backward_source
        return f"{self.backward_name.removesuffix('()')} at {line}" if line else ""

    @property
    def left_torch(self) -> str:
        """Why the recorded calls of a custom forward do not say what it is a function of; "" where they do."""
        if self._left_torch is None:
            self._left_torch = self._why_left_torch()
        return self._left_torch

    def _why_left_torch(self) -> str:
        if self.function is None:
            return ""
        if self.function.read:
            given = ", ".join(dict.fromkeys(use.argument for use in (edge.use for edge in self.edges) if use.argument))
            lines = ", ".join(line for line in self.function.read if line)
            where = f" ({lines})" if lines else ""
            return f"forward() read numbers of {given or 'its arguments'}{where}: what it did with them is not known"
        if not self.inner_calls:
            return self.unknown_call
        try:
            self.made_inside()
        except NoRule as missing:
            return missing.reason
        return ""

    def made_inside(self) -> dict[int, Tensor]:
        """Place -> the snapshot among `inner_calls`' outputs, or inputs, that is this output.

        It is the recorded value itself, or, where the value was read again later, the one that equals it.

        Raises:
            NoRule: an output was not made by the recorded calls.
        """
        inside = [tensor for call in reversed(self.inner_calls) for tensor in call.outputs if tensor is not None]
        inside += [tensor for tensor in self.attributes["inner_inputs"] if tensor is not None]
        made: dict[int, Tensor] = {}
        for place, value in self.outputs.items():
            if value is None:
                raise NoRule(self.attributes["value_missing"] or "the value is not known")
            same = [tensor for tensor in inside if tensor is value] or [t for t in inside if _equal(t, value)]
            if not same:
                raise NoRule("what forward() returned was not made by its recorded calls")
            made[place] = same[0]
        return made

    def leads_on(self, snapshot: Tensor | None) -> bool:
        """Whether recorded calls of a composed function lead from this argument to one of its outputs."""
        if snapshot is None:
            return False
        reached = {id(snapshot)}
        for call in self.inner_calls:
            takes_numbers = call.op not in SHAPE_READING  # what a kernel writes to `empty_like(x)` is in no call
            if takes_numbers and any(id(argument.tensor) in reached for argument in call.tensor_arguments()):
                reached |= {id(output) for output in call.outputs if output is not None}
        return any(id(output) in reached for output in self.made_inside().values())

    @property
    def unknown_call(self) -> str:
        """Why it is not known what made the value of this node."""
        if self.attributes["value_missing"]:
            return str(self.attributes["value_missing"])
        return why_unknown_call(self.attributes["op"])

    def shape(self, place: int) -> tuple[int, ...]:
        value = self.outputs[place]
        if value is not None:
            return parts_shape(value)
        return self.edges[0].partials[place].out_shape

    def cotangent(self, place: int) -> Tensor | None:
        """The cotangent that reached this output."""
        found = self.attributes["cotangent"]
        if not isinstance(found, tuple):
            return found  # type: ignore[no-any-return]
        return found[place]  # type: ignore[no-any-return]


def why_unknown_call(op: str) -> str:
    """Why nothing is known of what made a value but its autograd node."""
    return (
        f"how {op or 'this function'} was called is not known, since it ran before gradviz recorded, or was left out of the "
        "file of a loaded graph; trace the function that computes it"
    )


def vjps_into(edges: Sequence[EdgeUnderCheck], place: int, cotangent: Tensor) -> list[Tensor]:
    """What autograd makes, along each of these edges into one head, of a cotangent of its output `place`."""
    return vjps_of([edge.partials[place] for edge in edges], cotangent)


def rows_into(edges: Sequence[EdgeUnderCheck], place: int, index: Index) -> list[Tensor]:
    """One row of autograd's local Jacobian along each of these edges into one head, shaped like their tails."""
    basis = torch.zeros(edges[0].partials[place].out_shape, dtype=torch.float64)
    basis[index] = 1
    return vjps_into(edges, place, basis)


def head_under_check(graph: GradGraph, node: int, wanted: frozenset[Edge] | None) -> HeadUnderCheck:
    """The node with its differentiable edges, those of `wanted` only when given."""
    attributes = graph.nodes[node]
    values = attributes["value"]
    several = isinstance(values, tuple)
    used = [place for place in attributes["outputs"] if is_floating(attributes, place)]
    outputs = {place: values[place] if several else values for place in used}
    function = graph.custom_function(node)
    constants = frozenset(used) - _carrying_gradient(graph, node)
    head = HeadUnderCheck(node=node, attributes=attributes, outputs=outputs, function=function, constants=constants)
    head.runs_backward = any(use.cut == INNER_BACKWARD for use in graph.arguments_of(node))
    read, made = values_read(graph, node), None if several else values
    for use in graph.arguments_of(node):
        if use.partial is None or (wanted is not None and use.edge not in wanted):
            continue
        partials = {place: of_parts(one) for place, one in graph.partials_of(use.edge).items() if place in used}
        dtype = graph.value(use.edge[0], use.output)
        comparison = Comparison(rounded_dtype(attributes) if dtype is None else dtype.dtype, read=read, made=made)
        head.edges.append(EdgeUnderCheck(use=use, partials=partials, comparison=comparison))
    if function is not None and head.edges:  # a value that backward() reads again, of forward's own, is no result of it
        known = {place for edge in head.edges for place in edge.partials}
        head.outputs = {place: value for place, value in outputs.items() if place in known}
    return head


def _carrying_gradient(graph: GradGraph, node: int) -> set[int]:
    """The places of outputs to which a gradient comes back, or where the backward pass starts."""
    starting = {place for started, place in graph.starting_cotangents() if started == node}
    return starting | {use.output for use in graph.uses_of(node) if use.partial is not None}


def rounded_dtype(attributes: dict[str, Any]) -> torch.dtype:
    """The dtype of the first used output that is rounded at all; that of the first one where none is."""
    values = attributes["value"]
    used = [values[place] for place in attributes["outputs"]] if isinstance(values, tuple) else [values]
    dtypes: list[torch.dtype] = [value.dtype for value in used if value is not None]
    first: torch.dtype = attributes["dtype"]
    return next((dtype for dtype in dtypes if dtype.is_floating_point or dtype.is_complex), first)


def values_read(graph: GradGraph, node: int) -> list[Tensor]:
    """The values of the arguments, as far as they are known."""
    values = (graph.value(use.edge[0], use.output) for use in graph.arguments_of(node))
    return [value for value in values if value is not None]


def _equal(one: Tensor, other: Tensor) -> bool:
    if isinstance(one, StandIn) and isinstance(other, StandIn) and one.statistics is not None:
        return one.statistics is other.statistics  # taken once, of elements that both looked at
    alike = one.shape == other.shape and one.dtype == other.dtype and one.layout == other.layout == torch.strided
    if not alike or torch.equal(one, other):  # which torch cannot tell of sparse tensors
        return alike
    return bool(((one == other) | (one.isnan() & other.isnan())).all())  # memory that is not filled yet may hold NaN


def is_floating(attributes: dict[str, Any], place: int) -> bool:
    """Whether an output of a node is a tensor of real or complex numbers."""
    values = attributes["value"]
    value = values[place] if isinstance(values, tuple) else values
    dtype: torch.dtype = attributes["dtype"] if value is None else value.dtype
    return dtype.is_floating_point or dtype.is_complex
