"""Collects the nodes and edges of a traced graph under keys of their own, before they are numbered and named.

Autograd's nodes give the differentiable edges; recorded calls give values, constants and what ran without gradient. A call
and its node are joined by sequence number. A node that no recorded call explains (a tensor computed before the recording,
an in-place write to a view) gets its value from the recorded tensors or from what autograd saved (`gradviz.recover`).

Keys: an autograd `Node` for what autograd knows, ("call", index) for a call without gradient, ("tensor", id) for a constant
or a leaf that autograd does not reach.
"""

from __future__ import annotations

import bisect
import inspect
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node

from gradviz.backward import AutogradGraph, Slots
from gradviz.names import Frames
from gradviz.opcall import OpCall, op_name, tensors_of
from gradviz.record import RecordedCall, Recorder, outputs_of
from gradviz.recover import recover

Key = Hashable
_LEAF, _CONSTANT, _OP = 0, 1, 2


@dataclass(slots=True, kw_only=True)
class DraftNode:
    """A node to be. `tensors` are live (for names); `values` are snapshots, one per output of the call."""

    kind: str
    priority: tuple[int, int, int]
    op: str = ""
    values: tuple[Tensor | None, ...] = (None,)
    value_missing: str = ""
    tensors: tuple[Tensor | None, ...] = (None,)
    differentiable: tuple[int, ...] = (0,)
    requires_grad: bool = True
    call: OpCall | None = None
    call_index: int | None = None
    frames: Frames = ()
    inner_calls: tuple[OpCall, ...] = ()
    inner_inputs: tuple[Tensor | None, ...] = ()


@dataclass(slots=True)
class DraftEdge:
    """An edge to be. `slot` is the place among the autograd node's differentiable inputs, None where no gradient flows."""

    tail: Key
    head: Key
    position: int
    argument: str
    output: int
    slot: int | None
    cut: str = ""


@dataclass(slots=True)
class Draft:
    """Nodes and edges by key."""

    nodes: dict[Key, DraftNode] = field(default_factory=dict)
    edges: list[DraftEdge] = field(default_factory=list)


def draft_of(graph: AutogradGraph, recorder: Recorder, inputs: Sequence[Tensor]) -> Draft:
    """The draft of everything that feeds the roots of `graph`; `inputs` that require grad are there even where unused."""
    drafter = _Drafter(graph, recorder)
    drafter.add_autograd_nodes()
    drafter.add_calls_without_gradient()
    for tensor in inputs:
        if tensor.requires_grad and tensor.is_leaf:
            drafter.tensor_key(tensor, -1)
    return drafter.draft


class _Drafter:
    def __init__(self, graph: AutogradGraph, recorder: Recorder) -> None:
        self.draft = Draft()
        self._graph = graph
        self._recorder = recorder
        self._calls = recorder.calls
        self._by_sequence = {call.sequence: index for index, call in enumerate(recorder.calls) if call.sequence >= 0}
        self._sequences = sorted(self._by_sequence)
        self._leaf_nodes = {id(variable): node for node, variable in graph.variables.items()}
        self._node_of_call: dict[int, Node] = {}
        self._pending: list[int] = []
        self._recovered_slots: Mapping[Node, tuple[int | None, ...]] = {}

    def add_autograd_nodes(self) -> None:
        """Nodes first, then edges: an edge needs to know both of its ends."""
        unexplained: list[Node] = []
        for place, node in enumerate(self._graph.slots):
            if node in self._graph.variables:
                self._add_leaf(node, place)
            elif isinstance(node, BackwardCFunction):
                self._add_custom(node)
            elif (index := self._by_sequence.get(node._sequence_nr())) is not None:
                self._add_explained(node, index)
            else:
                unexplained.append(node)
        if unexplained:
            self._add_unexplained(unexplained)
        for node, slots in self._graph.slots.items():
            if slots:
                self._connect(node, slots)

    def add_calls_without_gradient(self) -> None:
        """The calls that ran without gradient and whose results the graph uses: masks, detached values, indices."""
        while self._pending:
            index = self._pending.pop()
            key = ("call", index)
            drafted = self.draft.nodes[key]
            if drafted.kind == "constant":
                continue
            call = self._calls[index]
            for position, (name, tensor) in enumerate(tensors_of(call.overload, call.args, call.kwargs)):
                tail, output = self.tensor_key(tensor, index)
                cut = self._cut_reason(tail, call)
                self.draft.edges.append(DraftEdge(tail, key, position, name, output, None, cut))

    def tensor_key(self, tensor: Tensor, index: int) -> tuple[Key, int]:
        """The node that call `index` gets `tensor` from, and which of its outputs it is; makes it where there is none."""
        producer = self._producer(tensor, index)
        if producer is not None:
            call = self._calls[producer]
            output = next((place for place, item in enumerate(outputs_of(call.result)) if item is tensor), 0)
            node = self._node_of_call.get(producer)
            return (node if node is not None else self._call_key(producer)), output
        if id(tensor) in self._leaf_nodes:
            return self._leaf_nodes[id(tensor)], 0
        value = self._recorder.versions.at(tensor, index - 1)
        key = ("tensor", id(value))
        if key not in self.draft.nodes:
            is_leaf = tensor.requires_grad and tensor.is_leaf
            self.draft.nodes[key] = DraftNode(
                kind="leaf" if is_leaf else "constant",
                priority=(_LEAF if is_leaf else _CONSTANT, len(self.draft.nodes), 0),
                values=(value,),
                tensors=(tensor,),
                requires_grad=tensor.requires_grad,
            )
        return key, 0

    def _call_key(self, index: int) -> Key:
        """The node of a call without gradient. A call that reads no tensor (zeros, arange) makes a constant."""
        key = ("call", index)
        if key not in self.draft.nodes:
            live = self._calls[index]
            call = self._recorder.op_call(index)
            reads = call.op != "lift_fresh" and next(tensors_of(call.overload, call.args, call.kwargs), None) is not None
            self.draft.nodes[key] = DraftNode(
                kind="op" if reads else "constant",
                priority=(_OP if reads else _CONSTANT, index, 0),
                op=call.op if reads else "",
                values=call.outputs,
                tensors=outputs_of(live.result),
                requires_grad=False,
                call=call if reads else None,
                call_index=index,
                frames=live.frames,
            )
            self._pending.append(index)
        return key

    def _add_leaf(self, node: Node, place: int) -> None:
        variable = self._graph.variables[node]
        self.draft.nodes[node] = DraftNode(
            kind="leaf", priority=(_LEAF, place, 0), values=(self._recorder.versions.at(variable, -1),), tensors=(variable,)
        )

    def _add_explained(self, node: Node, index: int) -> None:
        call = self._recorder.op_call(index)
        tensors = outputs_of(self._calls[index].result)
        self._node_of_call[index] = node
        self.draft.nodes[node] = DraftNode(
            kind="op",
            priority=(_OP, index, node._sequence_nr()),
            op=call.op,
            values=call.outputs,
            tensors=tensors,
            differentiable=tuple(place for place, tensor in enumerate(tensors) if _can_carry_gradient(tensor)),
            call=call,
            call_index=index,
            frames=self._calls[index].frames,
        )

    def _add_custom(self, node: BackwardCFunction) -> None:
        """A custom autograd.Function: its node was numbered right before the first call of its forward."""
        sequence = node._sequence_nr()  # type: ignore[attr-defined]
        inner = list(self._calls_of_forward(node, sequence))
        last = inner[-1] if inner else self._call_before(sequence)
        by_output = self._tensors_by_edge.get(node, {})
        tensors = tuple(by_output.get(output) for output in range(len(node._input_metadata)))  # type: ignore[attr-defined]
        values = tuple(None if tensor is None else self._recorder.versions.at(tensor, last) for tensor in tensors)
        self.draft.nodes[node] = DraftNode(
            kind="op",
            priority=(_OP, last, sequence),
            op=_custom_name(node),
            values=values,
            value_missing="" if None not in values else "what a custom autograd.Function returned was not recorded",
            tensors=tensors,
            differentiable=tuple(range(len(tensors))),
            call_index=last if inner else None,
            frames=self._frames_around(inner),
            inner_calls=tuple(self._recorder.op_call(index) for index in inner),
        )
        for index in inner:
            self._node_of_call[index] = node

    def _frames_around(self, inner: list[int]) -> Frames:
        """The user's frames outside the forward of a custom Function, whose calls are `inner`."""
        frames = self._calls[inner[0]].frames if inner else ()
        places = [place for place, (code, _) in enumerate(frames) if code.co_name == "forward"]
        return frames[places[0] + 1 :] if places else frames

    def _calls_of_forward(self, node: BackwardCFunction, sequence: int) -> Iterator[int]:
        first = self._by_sequence.get(sequence)
        forward_class = getattr(node, "_forward_cls", None)
        if first is None or forward_class is None:
            return
        forward = inspect.unwrap(forward_class.forward).__code__
        for index in range(first, len(self._calls)):
            call = self._calls[index]
            if (index > first and call.sequence >= 0) or not any(code is forward for code, _ in call.frames):
                return
            yield index

    def _add_unexplained(self, nodes: list[Node]) -> None:
        recovery = recover(self._with_consumers(nodes), self._known_values())
        self._recovered_slots = recovery.slots
        for node in nodes:
            sequence = node._sequence_nr()
            place = self._call_before(sequence)
            count = len(node._input_metadata)  # type: ignore[attr-defined]
            values = tuple(recovery.values.get((node, output)) for output in range(count))
            reasons = (recovery.reasons.get((node, output), "") for output in range(count))
            call = recovery.calls.get(node)
            self.draft.nodes[node] = DraftNode(
                kind="op",
                priority=(_OP, place, sequence),
                op=call.op if call is not None else _op_of_node(node.name()),
                values=values,
                value_missing=next((reason for reason in reasons if reason), ""),
                tensors=tuple(self._tensors_by_edge.get(node, {}).get(output) for output in range(count)),
                differentiable=tuple(range(count)),
                call=call,
                call_index=place if place >= 0 else None,
                frames=self._calls[place].frames if place >= 0 else (),
            )

    def _with_consumers(self, nodes: list[Node]) -> list[Node]:
        """The nodes, those that they feed and those that feed them, leaves first: what a recovery can learn from."""
        asked = frozenset(nodes)
        wanted = set(nodes)
        for node, slots in self._graph.slots.items():
            tails = {tail for tail, _ in slots if tail is not None}
            if node in asked or not tails.isdisjoint(asked):
                wanted |= {node} | tails
        return [node for node in self._graph.forward_order() if node in wanted]

    def _known_values(self) -> dict[tuple[Node, int], Tensor]:
        """Values of graph nodes that the recording holds: of explained nodes, of tensors still alive, of written bases."""
        known: dict[tuple[Node, int], Tensor] = {}
        for node in self._graph.slots:
            for output, tensor in self._tensors_by_edge.get(node, {}).items():
                known[node, output] = self._recorder.versions.at(tensor, len(self._calls))
            if node.name().endswith("CopySlices") and (place := self._call_before(node._sequence_nr())) >= 0:
                written = next(tensor for _, tensor in tensors_of(self._calls[place].overload, self._calls[place].args, {}))
                if written._base is not None:
                    known[node, 0] = self._recorder.versions.at(written._base, place)
        for key, drafted in self.draft.nodes.items():
            if isinstance(key, Node):
                known |= {
                    (key, output): value
                    for output, place in enumerate(drafted.differentiable)
                    if (value := drafted.values[place]) is not None
                }
        return known

    def _connect(self, node: Node, slots: Slots) -> None:
        """The edges into one autograd node: a gradient flows along its slots, none along its other tensor arguments."""
        drafted = self.draft.nodes[node]
        index = drafted.call_index
        arguments, places = self._arguments(node, slots, drafted)
        for slot, (tail, output) in enumerate(slots):
            if tail is None:
                continue
            position = places[slot]
            name = arguments[position][0] if position < len(arguments) else ""
            from_output = self.draft.nodes[tail].differentiable[output]
            self.draft.edges.append(DraftEdge(tail, node, position, name, from_output, slot))
        taken = set(places.values())
        for position, (name, tensor) in enumerate(arguments):
            if position not in taken and tensor is not None:
                tail_key, output = self.tensor_key(tensor, len(self._calls) if index is None else index)
                if tail_key != node:
                    cut = "not differentiable" if self.draft.nodes[tail_key].requires_grad else "constant"
                    self.draft.edges.append(DraftEdge(tail_key, node, position, name, output, None, cut))

    def _arguments(
        self, node: Node, slots: Slots, drafted: DraftNode
    ) -> tuple[list[tuple[str, Tensor | None]], dict[int, int]]:
        """(name, tensor) of each tensor argument, and slot -> argument position."""
        if isinstance(node, BackwardCFunction):
            return self._custom_arguments(node, slots, drafted)
        index = drafted.call_index
        if drafted.call is not None and index is not None and self._node_of_call.get(index) is node:
            live = self._calls[index]
            arguments: list[tuple[str, Tensor | None]] = list(tensors_of(live.overload, live.args, live.kwargs))
            return arguments, self._aligned(slots, arguments, index)
        recovered = self._recovered_slots.get(node)
        if drafted.call is None or recovered is None:
            return [], {slot: slot for slot in range(len(slots))}
        places = {slot: slot if position is None else position for slot, position in enumerate(recovered)}
        return [(argument.name, argument.tensor) for argument in drafted.call.tensor_arguments()], places

    def _aligned(self, slots: Slots, arguments: Sequence[tuple[str, Tensor | None]], index: int) -> dict[int, int]:
        """Slot -> position of the argument that it stands for.

        Slots follow the order of the schema and leave out what is not differentiable. An argument that was written to since
        no longer carries its old edge: what is left is matched in order, among arguments that can carry a gradient.
        """
        places: dict[int, int] = {}
        free = dict(enumerate(arguments))
        for slot, (tail, output) in enumerate(slots):
            if tail is not None:
                for position, (_, tensor) in free.items():
                    if tensor is not None and self._carries(tensor, tail, output):
                        places[slot] = position
                        del free[position]
                        break
        for slot, (tail, _) in enumerate(slots):
            if tail is not None and slot not in places:
                position = self._best_left(tail, free, index)
                places[slot] = position
                free.pop(position, None)
        return places

    def _best_left(self, tail: Node, free: dict[int, tuple[str, Tensor | None]], index: int) -> int:
        for position, (_, tensor) in free.items():
            producer = None if tensor is None else self._producer(tensor, index)
            if producer is not None and self._node_of_call.get(producer) is tail:
                return position
        return next((position for position, (_, tensor) in free.items() if _can_carry_gradient(tensor)), max(free, default=0))

    def _carries(self, tensor: Tensor, tail: Node, output: int) -> bool:
        if tail in self._graph.variables:
            return self._graph.variables[tail] is tensor
        return tensor.grad_fn is tail and tensor.output_nr == output

    def _custom_arguments(
        self, node: BackwardCFunction, slots: Slots, drafted: DraftNode
    ) -> tuple[list[tuple[str, Tensor | None]], dict[int, int]]:
        """The tensor arguments of a custom Function: its slots, then other tensors that its forward read."""
        needed = [place for place, needs in enumerate(node.needs_input_grad) if needs]  # type: ignore[attr-defined]
        parameters = _forward_parameters(node)
        with_edge = [slot for slot, (tail, _) in enumerate(slots) if tail is not None]
        named = {
            slot: parameters[place] if place < len(parameters) else ""
            for slot, place in zip(with_edge, needed, strict=False)
        }
        outside = self._outside_tensors(drafted)
        arguments: list[tuple[str, Tensor | None]] = [(named.get(slot, ""), None) for slot in range(len(slots))]
        snapshots: list[Tensor | None] = [None] * len(slots)
        for tensor, snapshot in outside:
            slot = next((slot for slot in with_edge if self._carries(tensor, *_edge(slots[slot]))), None)
            if slot is not None:
                snapshots[slot] = snapshot
                continue
            empty = next((slot for slot, (tail, _) in enumerate(slots) if tail is None and snapshots[slot] is None), None)
            if empty is None:
                arguments.append(("", tensor))
                snapshots.append(snapshot)
            else:
                arguments[empty], snapshots[empty] = ("", tensor), snapshot
        drafted.inner_inputs = tuple(snapshots)
        return arguments, {slot: slot for slot in with_edge}

    def _outside_tensors(self, drafted: DraftNode) -> Iterator[tuple[Tensor, Tensor]]:
        """(live, snapshot) of the tensors that the calls of a custom forward read but did not make, each once."""
        count = len(drafted.inner_calls)
        last = drafted.call_index
        if not count or last is None:
            return
        made: set[int] = set()
        for index, inner in zip(range(last - count + 1, last + 1), drafted.inner_calls, strict=True):
            live = self._calls[index]
            pairs = zip(tensors_of(live.overload, live.args, live.kwargs), inner.tensor_arguments(), strict=True)
            for (_, tensor), argument in pairs:
                if id(argument.tensor) not in made:
                    made.add(id(argument.tensor))
                    yield tensor, argument.tensor
            made |= {id(output) for output in inner.outputs if output is not None}

    def _cut_reason(self, tail: Key, call: RecordedCall) -> str:
        if not self.draft.nodes[tail].requires_grad:
            return "constant"
        if op_name(call.overload) == "detach":
            return "detach"
        if not call.grad_enabled:
            return "no_grad"
        outputs = [output for output in outputs_of(call.result) if output is not None]
        if outputs and not any(output.is_floating_point() or output.is_complex() for output in outputs):
            return "integer"
        return "not differentiable"

    # Look-ups

    def _producer(self, tensor: Tensor, before: int) -> int | None:
        """The last call before call `before` that returned `tensor` or wrote to its storage."""
        returned = self._returned.get(id(tensor), ())
        place = bisect.bisect_left(returned, before)
        written = self._recorder.versions.last_write(tensor, before)
        candidates = [returned[place - 1]] if place else []
        return max(candidates + ([] if written is None else [written]), default=None)

    @cached_property
    def _returned(self) -> dict[int, list[int]]:
        """id of each recorded tensor -> the calls that returned it, in order."""
        found: dict[int, list[int]] = {}
        for index, call in enumerate(self._calls):
            for output in outputs_of(call.result):
                if output is not None:
                    found.setdefault(id(output), []).append(index)
        return found

    @cached_property
    def _tensors_by_edge(self) -> dict[Node, dict[int, Tensor]]:
        """Autograd node -> output number -> the recorded tensor that carries this edge now."""
        found: dict[Node, dict[int, Tensor]] = {}
        for call in self._calls:
            for tensor in outputs_of(call.result):
                if tensor is not None and tensor.grad_fn is not None:
                    found.setdefault(tensor.grad_fn, {})[tensor.output_nr] = tensor
        return found

    def _call_before(self, sequence: int) -> int:
        """The call that made the last node numbered up to `sequence`; -1 where nothing was recorded before it."""
        place = bisect.bisect_right(self._sequences, sequence)
        return self._by_sequence[self._sequences[place - 1]] if place else -1


def _edge(slot: tuple[Node | None, int]) -> tuple[Node, int]:
    node, output = slot
    if node is None:
        raise ValueError("an empty slot has no edge")
    return node, output


def _can_carry_gradient(tensor: Tensor | None) -> bool:
    return tensor is not None and (tensor.is_floating_point() or tensor.is_complex())


def _custom_name(node: BackwardCFunction) -> str:
    forward_class = getattr(node, "_forward_cls", None)
    return str(forward_class.__name__) if forward_class is not None else node.name().removesuffix("Backward")


def _forward_parameters(node: BackwardCFunction) -> list[str]:
    """Names of the arguments of a custom forward, without `ctx`."""
    forward_class = getattr(node, "_forward_cls", None)
    if forward_class is None:
        return []
    names = list(inspect.signature(forward_class.forward).parameters)
    own_setup = forward_class.setup_context is not torch.autograd.function._SingleLevelFunction.setup_context
    return names if own_setup else names[1:]


def _op_of_node(name: str) -> str:
    """`ReluBackward0` -> `relu`, `CopySlices` -> `copy_slices`."""
    stem = re.sub(r"Backward\d*$", "", name.rpartition("::")[2])
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()
