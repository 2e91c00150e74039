"""Collects the nodes and edges of a traced graph under keys of their own, before they are numbered and named.

Autograd's nodes give the differentiable edges; recorded calls give values, constants and what ran without gradient. A call
and its node are joined by sequence number. A node that no recorded call explains (a tensor computed before the recording,
an in-place write to a view) gets its value from the recorded tensors or from what autograd saved (`gradviz.recover`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.arguments import (
    Arguments,
    arguments_of_call,
    arguments_of_custom,
    arguments_of_recovered,
    arguments_of_write,
    differentiable_places,
)
from gradviz.assemble.carried import carried
from gradviz.assemble.cuts import cut_before
from gradviz.assemble.drafted import Draft, DraftEdge, DraftNode, Key, draft_edge, is_autograd_node
from gradviz.assemble.forwards import Forward, Unreached, unreached_function_of, unreached_functions
from gradviz.assemble.lookup import Application, Lookup
from gradviz.assemble.neighbours import known_values, with_neighbours
from gradviz.assemble.writes import Write, with_writes_followed
from gradviz.opcall import OpCall, op_name, tensors_of
from gradviz.recording.backward import AutogradGraph, Slots
from gradviz.recording.nodes import (
    custom_name,
    is_custom,
    is_leaf,
    is_torchs_own,
    op_of_node,
    output_metadata,
    sequence_number,
)
from gradviz.recording.record import RecordedCall, Recorder

if TYPE_CHECKING:
    from gradviz.recover import Recovery

_LEAF, _CONSTANT, _OP = 0, 1, 2


def draft_of(graph: AutogradGraph, recorder: Recorder, inputs: Sequence[Tensor], alive: Sequence[Tensor]) -> Draft:
    """The draft of everything that feeds the roots of `graph`.

    Args:
        graph: the autograd nodes.
        recorder: the calls that made them, as far as they were recorded.
        inputs: tensors that become leaves even where they are not used, if they require grad.
        alive: tensors that the caller still holds: they tell the values of nodes that were not recorded.
    """
    drafter = _Drafter(Lookup(graph, recorder), alive)
    drafter.add_autograd_nodes()
    drafter.add_calls_without_gradient()
    for tensor in inputs:
        if tensor.requires_grad and tensor.is_leaf:
            drafter.node_behind(tensor, 0)
    return drafter.draft


class _Drafter:
    def __init__(self, lookup: Lookup, alive: Sequence[Tensor]) -> None:
        self.draft = Draft()
        self._lookup = lookup
        self._alive = alive
        self._graph = lookup.graph
        self._recorder = lookup.recorder
        self._calls = lookup.calls
        self._node_of_call: dict[int, Key] = {}
        self._inner: dict[Key, dict[int, OpCall]] = {}
        self._unreached: dict[Key, Unreached] = {}
        self._writes: dict[Node, Write] = {}
        self._node_of_write: dict[int, Node] = {}
        self._read: dict[Key, list[tuple[str, Tensor]]] = {}  # what the nodes of `carried` were made from
        self._recovery: Recovery | None = None
        self._pending: list[Key] = []

    def add_autograd_nodes(self) -> None:
        """Nodes first, then edges: an edge needs to know both of its ends."""
        unexplained: list[Node] = []
        variables, calls_by_node = self._graph.variables, self._lookup.calls_by_node
        for place, node in enumerate(self._graph.slots):
            if node in variables:
                self._add_leaf(node, place)
                continue
            index = calls_by_node.get(node)
            if not is_custom(node):
                if index is None:
                    unexplained.append(node)
                else:
                    self._add_explained(node, index)
            elif index is None or not is_torchs_own(node) or self._lookup.is_one_of_several(node, index):
                self._add_custom(node)
            else:
                self._add_explained(node, index)
        if unexplained:
            from gradviz.recover import recover  # not needed where all was recorded: `import gradviz` stays cheap

            self._recovery = recover(
                with_neighbours(self._graph, unexplained), known_values(self._lookup, self.draft, self._alive)
            )
            for node in unexplained:
                self._add_recovered(node, self._recovery)
        for function in unreached_functions(self._lookup):
            self._note_unreached(function)
        for node, slots in self._graph.slots.items():
            if slots:
                self._connect(node, slots)

    def add_calls_without_gradient(self) -> None:
        """The calls that ran without gradient and whose results the graph uses: masks, detached values, indices."""
        while self._pending:
            key = self._pending.pop()
            if key in self._unreached:
                self._connect_unreached(key, self._unreached[key])
                continue
            index = self.draft.nodes[key].call_index
            if index is None or self.draft.nodes[key].kind == "constant":
                continue
            call = self._calls[index]
            edges = self.draft.edges_into[key] = []
            read = self._read.get(key) or tensors_of(call.overload, call.args, call.kwargs)
            for position, (name, tensor) in enumerate(read):
                tail, output = self.node_behind(tensor, index)
                cut = cut_before(call, self.draft.nodes[tail].requires_grad)
                edges.append(draft_edge(tail, position, name, output, None, cut))

    def node_behind(self, tensor: Tensor, index: int) -> tuple[Key, int]:
        """The node that call `index` gets `tensor` from, and which of its outputs it is; makes it where there is none."""
        # A leaf that is filled while the recorder listens, under no_grad, stays the leaf.
        producer = None if is_leaf(tensor) else self._lookup.producer(tensor, index)
        if producer is not None:
            call = self._calls[producer]
            node = self._node_of_call.get(producer)
            if node is None and (handed_on := unreached_function_of(self._lookup, tensor, producer)) is not None:
                node = self._note_unreached(handed_on)
            if node in self._unreached and node not in self.draft.nodes:
                self._add_unreached(node, self._unreached[node])
            if node in self._inner:
                return node, self._place_in_custom(node, tensor)
            output = next((place for place, item in enumerate(call.outputs) if item is tensor), None)
            if node is None and output is None:
                node = self._written_key(producer, tensor)
            return (node if node is not None else self._call_key(producer)), output or 0
        leaf = self._lookup.leaf_node(tensor)
        if leaf is not None:
            return leaf, 0
        value = self._recorder.versions.at(tensor, index - 1)
        key = ("tensor", id(value))
        if key not in self.draft.nodes:
            kind = "leaf" if is_leaf(tensor) else "constant"
            self.draft.nodes[key] = DraftNode(
                kind=kind,
                priority=(_LEAF if kind == "leaf" else _CONSTANT, len(self.draft.nodes), 0),
                values=(value,),
                tensors=(tensor,),
                requires_grad=tensor.requires_grad,
            )
        return key, 0

    # Nodes

    def _call_key(self, index: int) -> Key:
        """The node of a call without gradient. A call that reads no tensor (zeros, arange) makes a constant."""
        key = ("call", index)
        if key not in self.draft.nodes:
            live = self._calls[index]
            call = self._recorder.op_call(index)
            reads = call.op != "lift_fresh" and any(call.tensor_arguments()) and not self._lookup.is_handed_out(index)
            self.draft.nodes[key] = DraftNode(
                kind="op" if reads else "constant",
                priority=(_OP if reads else _CONSTANT, index, 0),
                op=call.op if reads else "",
                values=call.outputs,
                tensors=live.outputs,
                requires_grad=live.sequence >= 0,
                call=call if reads else None,
                call_index=index,
                frames=live.frames,
            )
            self._pending.append(key)
        return key

    def _written_key(self, index: int, tensor: Tensor) -> Key | None:
        """The node of a tensor whose memory call `index` wrote to; None where the node of that call is."""
        node = self._node_of_write.get(index)
        if node is not None and self._writes[node].base is tensor:
            return node
        key = ("written", index, id(tensor))
        if key not in self.draft.nodes:
            found = carried(self._lookup, index, tensor)
            if found is None:
                return None
            found.node.priority = (_OP, index, len(self._read))
            self.draft.nodes[key], self._read[key] = found
            self._pending.append(key)
        return key

    def _add_leaf(self, node: Node, place: int) -> None:
        variable = self._graph.variables[node]
        versions = self._recorder.versions
        first_use = 0 if versions.has_one(variable) else self._lookup.first_use(node)
        value = versions.at(variable, first_use - 1)
        self.draft.nodes[node] = DraftNode(kind="leaf", priority=(_LEAF, place, 0), values=(value,), tensors=(variable,))

    def _add_explained(self, node: Node, index: int) -> None:
        live, call = self._calls[index], self._recorder.op_call(index)
        self._node_of_call[index] = node
        op, priority = op_name(live.overload), (_OP, index, sequence_number(node))
        places = differentiable_places(node, live.outputs)
        # Not by keyword: of most nodes there are many, and keywords take half as long again.
        self.draft.nodes[node] = DraftNode(
            "op", priority, op, call.outputs, live.outputs, places, True, call, index, live.frames
        )

    def _add_custom(self, node: Node) -> None:
        inner = {index: self._recorder.op_call(index) for index in self._lookup.calls_of_forward(node)}
        last = max(inner, default=self._lookup.call_before(node))
        live = self._lookup.live_tensors(node)
        tensors = tuple(live.get(output) for output in range(len(output_metadata(node))))
        values = tuple(None if tensor is None else self._recorder.versions.at(tensor, last) for tensor in tensors)
        self.draft.nodes[node] = DraftNode(
            kind="op",
            priority=(_OP, last, sequence_number(node)),
            op=custom_name(node),
            values=values,
            value_missing="" if None not in values else "what a custom autograd.Function returned was not recorded",
            tensors=tensors,
            differentiable=tuple(range(len(tensors))),
            call_index=last if inner else None,
            frames=self._lookup.frames_outside(node, last) if inner else (),
            inner_calls=tuple(with_writes_followed(self._recorder, inner, live.values())),
        )
        self._inner[node] = inner
        self._node_of_call |= dict.fromkeys(inner, node)
        self.draft.in_forwards |= dict.fromkeys(inner, Forward(custom_name(node), self.draft.nodes[node].frames, True))
        self.draft.applied[node] = Application(self._lookup.applied(node), self._lookup.first_inside(node), tuple(inner))

    def _note_unreached(self, function: Unreached) -> Key:
        """The key of a custom Function that no gradient comes back to, which becomes a node where its result is read."""
        key = ("applied", min(function.calls))
        self._unreached[key] = function
        self._inner[key] = function.calls
        self._node_of_call |= dict.fromkeys(function.calls, key)
        self.draft.in_forwards |= dict.fromkeys(function.calls, function.forward)
        return key

    def _add_unreached(self, key: Key, function: Unreached) -> None:
        last = max(function.calls)
        live = {} if function.node is None else self._lookup.live_tensors(function.node)
        outputs = range(0 if function.node is None else len(output_metadata(function.node)))
        tensors = tuple(live.get(output) for output in outputs)
        self.draft.nodes[key] = DraftNode(
            kind="op",
            priority=(_OP, last, 0),
            op=function.forward.name,
            values=tuple(None if tensor is None else self._recorder.versions.at(tensor, last) for tensor in tensors),
            tensors=tensors,
            differentiable=tuple(outputs),
            requires_grad=function.forward.differentiated,
            call_index=last,
            frames=function.forward.frames,
            inner_calls=tuple(with_writes_followed(self._recorder, function.calls, live.values())),
            in_order=function.node is not None,
        )
        self._pending.append(key)

    def _connect_unreached(self, key: Key, function: Unreached) -> None:
        """The edges into a custom Function without gradient: its tensor arguments, then what else its forward read."""
        node, first = self.draft.nodes[key], min(function.calls)
        edges = self.draft.edges_into[key] = []
        held = []
        for position, (name, tensor, snapshot) in enumerate(function.arguments(self._lookup, node.inner_calls)):
            tail, output = self.node_behind(tensor, first)
            cut = function.cut_of(tensor) if self.draft.nodes[tail].requires_grad else "constant"
            edges.append(draft_edge(tail, position, name, output, None, cut))
            held.append(snapshot)
        node.inner_inputs = tuple(held)

    def _place_in_custom(self, node: Key, tensor: Tensor) -> int:
        """Which output of a custom Function a tensor is.

        No autograd node leads to one that is marked as not differentiable: it gets the first place that is free, or, where
        forward() handed it out by other ways than its result, a place after the others.
        """
        drafted = self.draft.nodes[node]
        carried = self._unreached[node].node if node in self._unreached else node if is_autograd_node(node) else None
        places = [place for place in drafted.differentiable if self._lookup.carries(tensor, carried, place)]
        places += [place for place, known in enumerate(drafted.tensors) if known is tensor]
        free = [place for place, known in enumerate(drafted.tensors) if known is None]
        drafted.in_order &= bool(places) or len(free) < 2
        places += free
        place = places[0] if places else len(drafted.tensors)
        if not places or drafted.tensors[place] is None:
            value = self._recorder.versions.at(tensor, max(self._inner[node]))
            drafted.tensors = (*drafted.tensors[:place], tensor, *drafted.tensors[place + 1 :])
            drafted.values = (*drafted.values[:place], value, *drafted.values[place + 1 :])
        return place

    def _add_recovered(self, node: Node, recovery: Recovery) -> None:
        outputs = range(len(output_metadata(node)))
        write = self._lookup.write_of(node)
        call = recovery.calls.get(node)
        reasons = (recovery.reasons.get((node, output), "") for output in outputs)
        self.draft.nodes[node] = DraftNode(
            kind="op",
            priority=(_OP, self._lookup.call_before(node), sequence_number(node)),
            op=call.op if call is not None else op_of_node(node),
            values=tuple(recovery.values.get((node, output)) for output in outputs),
            value_missing=next((reason for reason in reasons if reason), ""),
            tensors=tuple(self._lookup.live_tensors(node).get(output) for output in outputs)
            if write is None
            else (write.base,),
            differentiable=tuple(outputs),
            call=call,
            call_index=None if write is None else write.call_index,
            frames=() if write is None else self._calls[write.call_index].frames,
            inner_calls=() if write is None else write.calls(self._recorder.op_call(write.call_index)),
        )
        if write is not None:
            self._writes[node] = write
            self._node_of_write[write.call_index] = node

    # Edges

    def _connect(self, node: Node, slots: Slots) -> None:
        """The edges into one autograd node: a gradient flows along its slots, none along its other tensor arguments."""
        nodes = self.draft.nodes
        drafted = nodes[node]
        index = drafted.call_index
        if index is not None and self._is_explained(node, index):
            straight = self._straight_edges(slots, self._calls[index])
            if straight is not None:
                self.draft.edges_into[node] = straight
                return
        named, positions, drafted.inner_inputs = self._arguments(node, slots, drafted)
        edges = self.draft.edges_into[node] = []
        for slot, (tail, output) in enumerate(slots):
            if tail is not None:
                position = positions[slot]
                name = named[position][0] if position < len(named) else ""
                edges.append(draft_edge(tail, position, name, nodes[tail].differentiable[output], slot))
        taken = set(positions.values())
        if len(taken) == len(named):
            return
        index = min(self._inner.get(node, ()), default=index)  # what a forward writes to it was given before
        for position, (name, tensor) in enumerate(named):
            if position not in taken and tensor is not None:
                key, output = self.node_behind(tensor, len(self._calls) if index is None else index)
                cut = "not differentiable" if nodes[key].requires_grad else "constant"
                edges.append(draft_edge(key, position, name, output, None, cut))

    def _is_explained(self, node: Node, index: int) -> bool:
        """Whether autograd made the node for call `index` itself."""
        return node not in self._inner and self._node_of_call.get(index) is node

    def _straight_edges(self, slots: Slots, call: RecordedCall) -> list[DraftEdge] | None:
        """The edges where, as a rule, each tensor argument has its slot in turn, and carries a gradient; else None."""
        named = tensors_of(call.overload, call.args, call.kwargs)
        if len(named) != len(slots):
            return None
        nodes, is_only = self.draft.nodes, len(slots) == 1
        edges = []
        for place, (name, tensor) in enumerate(named):
            tail, output = slots[place]
            if tail is None:
                return None
            behind = nodes[tail]
            made = behind.differentiable[output]
            if not (is_only or behind.tensors[made] is tensor or self._lookup.carries(tensor, tail, output)):
                return None
            edges.append(draft_edge(tail, place, name, made, place))
        return edges

    def _arguments(self, node: Node, slots: Slots, drafted: DraftNode) -> Arguments:
        if node in self._inner:
            return arguments_of_custom(self._lookup, node, slots, self._inner[node], drafted.inner_calls)
        index = drafted.call_index
        if index is not None and self._is_explained(node, index):
            return arguments_of_call(self._lookup, slots, index)
        if node in self._writes:
            write = self._writes[node]
            call = self._recorder.op_call(write.call_index)
            return arguments_of_write(self._lookup, slots, write.before, write.call_index, call)
        return arguments_of_recovered(
            slots, drafted.call, None if self._recovery is None else self._recovery.slots.get(node)
        )
