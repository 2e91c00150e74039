"""Turns a recording and one backward pass into a `GradGraph`: numbers the draft in forward order, names it, writes it."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from gradviz.backward import AutogradGraph, Backward, autograd_graph, run_backward
from gradviz.collector import collector_paused
from gradviz.draft import Draft, DraftEdge, DraftNode, Key, draft_of, is_autograd_node
from gradviz.graph import GradGraph
from gradviz.names import Frames, named_tensors, result_names
from gradviz.naming import Naming, TensorNames, UniqueNames, assigned_in_code
from gradviz.nodes import is_leaf, output_metadata
from gradviz.outputs import differentiable_outputs, starting_cotangents
from gradviz.partials import Head, LocalPartial
from gradviz.record import Recorder, outputs_of
from gradviz.scopes import ScopePath, common, scope_paths
from gradviz.unreached import lost_leaves


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What was run: the recorder that listened and what the code returned."""

    recorder: Recorder
    result: Any


def build_graph(traced: Traced, naming: Naming, grad_output: Any = None) -> GradGraph:
    """The graph of what was traced.

    Raises:
        TraceError: no gradient leads to the result, or its graph cannot be traced.
        InputError: `grad_output` is missing or does not fit.
    """
    with collector_paused():
        return _built(traced, naming, grad_output)


def _built(traced: Traced, naming: Naming, grad_output: Any) -> GradGraph:
    outputs = differentiable_outputs(traced.result)
    cotangents = starting_cotangents(outputs, grad_output)
    roots = [get_gradient_edge(output) for output in outputs]
    autograd = autograd_graph([root.node for root in roots])
    names = TensorNames(naming)
    backward = run_backward(autograd, outputs, cotangents, _retaining(traced.recorder, [*outputs, *names.tensors()]))
    with torch.no_grad():
        inputs = [tensor for _, tensor in named_tensors(naming.inputs)]
        draft = draft_of(autograd, traced.recorder, inputs, alive=[*outputs, *names.tensors()])
        writer = _Writer(draft, backward, naming, names, traced.recorder)
        return writer.written([(root.node, root.output_nr) for root in roots], cotangents, autograd)


def _retaining(recorder: Recorder, alive: list[Tensor]) -> list[Tensor]:
    """The tensors in sight for which the user asked torch to keep `.grad` although they are no leaves."""
    made = (output for call in recorder.calls for output in outputs_of(call.result) if output is not None)
    return [tensor for tensor in (*alive, *made) if tensor.retains_grad]


class _Writer:
    def __init__(self, draft: Draft, backward: Backward, naming: Naming, names: TensorNames, recorder: Recorder) -> None:
        self._draft = draft
        self._backward = backward
        self._naming = naming
        self._recorder = recorder
        self._names = names
        self._assigned = assigned_in_code(recorder)
        self._object_names = {
            id(output): name
            for index, names in self._assigned.items()
            for name, output in zip(names, outputs_of(recorder.calls[index].result), strict=False)
        }
        self._modules = naming.modules()
        self._roots = naming.roots()
        self._lettered: set[Key] = set()
        self._used: dict[Key, set[int]] = {key: set() for key in draft.nodes}
        self._edges_into: dict[Key, list[DraftEdge]] = {key: [] for key in draft.nodes}
        for edge in draft.edges:
            self._used[edge.tail].add(edge.output)
            self._edges_into[edge.head].append(edge)

    def written(
        self, roots: list[tuple[Node, int]], cotangents: list[Tensor], autograd: AutogradGraph
    ) -> GradGraph:
        graph = GradGraph()
        root_outputs: list[tuple[Key, int]] = [
            (node, self._draft.nodes[node].differentiable[output]) for node, output in roots
        ]
        for key, output in root_outputs:
            self._used[key].add(output)
        order = self._ordered()
        number = {key: place for place, key in enumerate(order)}
        names = self._named(order)
        backward_order = self._backward_order(autograd)
        scopes = self._scopes(order)
        root_keys = {key for key, _ in root_outputs}
        for key in order:
            attributes = self._attributes(key, names[key])
            attributes["backward_order"] = backward_order.get(key)
            attributes["is_output"] = key in root_keys
            attributes["scope"] = scopes[key]
            graph.add_node(number[key], **attributes)
        autograd_nodes = tuple(key for key in order if is_autograd_node(key))
        places: dict[Key, int] = {node: place for place, node in enumerate(autograd_nodes)}
        for key in order:
            head = number[key]
            contributions = self._backward.contributions.get(key, ()) if is_autograd_node(key) else ()
            shared = self._head(key, names, autograd_nodes, places) if contributions else None
            for edge in self._edges_into[key]:
                graph.add_edge(
                    number[edge.tail],
                    head,
                    key=edge.position,
                    argument=edge.argument,
                    output=edge.output,
                    partial=self._partial(edge, number, shared),
                    contribution=_added(contributions[edge.slot], self._draft.nodes[edge.tail].values[edge.output])
                    if edge.slot is not None and contributions
                    else None,
                    cut=edge.cut,
                )
        graph.graph["outputs"] = [number[key] for key, _ in root_outputs]
        graph.graph["starting_cotangents"] = _starting(
            [(number[key], output) for key, output in root_outputs], cotangents
        )
        graph.graph["leaves"] = {names[key]: number[key] for key in order if self._draft.nodes[key].kind == "leaf"}
        graph.graph["names"] = {name: number[key] for key, name in names.items()}
        graph.graph["lost_leaves"] = self._lost_leaves()
        return graph

    def _ordered(self) -> list[Key]:
        """Forward order: leaves, constants, then ops as they ran, each after what feeds it."""
        waiting = {key: len(edges) for key, edges in self._edges_into.items()}
        heads: dict[Key, list[Key]] = {}
        for edge in self._draft.edges:
            heads.setdefault(edge.tail, []).append(edge.head)
        known = {id(tensor): place for place, tensor in enumerate(self._names.tensors())}

        def entry(key: Key, count: int) -> tuple[tuple[int, int, int, int], int, Key]:
            node = self._draft.nodes[key]
            first = node.tensors[0]
            place = known.get(id(first), len(known)) if node.kind != "op" else 0
            return (node.priority[0], place, *node.priority[1:]), count, key

        heap = [entry(key, place) for place, (key, count) in enumerate(waiting.items()) if count == 0]
        heapq.heapify(heap)
        order: list[Key] = []
        pushed = len(waiting)
        while heap:
            _, _, key = heapq.heappop(heap)
            order.append(key)
            for head in heads.get(key, ()):
                waiting[head] -= 1
                if waiting[head] == 0:
                    pushed += 1
                    heapq.heappush(heap, entry(head, pushed))
        return order

    def _named(self, order: list[Key]) -> dict[Key, str]:
        unique = UniqueNames()
        names: dict[Key, str] = {}
        for key in order:
            name = self._own_name(key, self._draft.nodes[key])
            if name:
                names[key] = unique.named(name)
                for part in name.split(", ") if ", " in name else ():
                    unique.named(part)
        for key in order:
            if key not in names:
                names[key] = unique.letter()
                self._lettered.add(key)
        return names

    def _own_name(self, key: Key, node: DraftNode) -> str:
        used = sorted(self._used[key]) or [0]
        if len(used) == 1 and (tensor := node.tensors[used[0]]) is not None:
            name = self._names.of_tensor(tensor) or (self._names.of_memory(tensor) if node.kind == "constant" else "")
            if name:
                return name
        assigned = self._assigned_names(node)
        if assigned:
            if len(assigned) == 1:
                return assigned[0]
            return assigned[used[0]] if len(used) == 1 else ", ".join(assigned)
        for tensor in node.tensors:
            if id(tensor) in self._object_names:
                return self._object_names[id(tensor)]
        if is_autograd_node(key) and node.kind == "op":
            return next(
                (name for output in range(len(node.differentiable)) if (name := self._names.of_edge(key, output))), ""
            )
        return ""

    def _attributes(self, key: Key, name: str) -> dict[str, Any]:
        node = self._draft.nodes[key]
        used = tuple(sorted(self._used[key])) or node.differentiable[:1] or (0,)
        cotangents = self._cotangents(key, node)
        several = len(used) > 1
        first = used[0]
        metadata = {place: self._metadata(key, node, place) for place in (range(len(node.values)) if several else used)}
        return {
            "kind": node.kind,
            "name": name,
            "output_names": self._output_names(node, name) if several else (name,),
            "op": node.op,
            "expression": next((t for x in node.tensors if (t := self._names.expressions.get(id(x)))), ""),
            "value": node.values if several else node.values[first],
            "value_missing": node.value_missing if node.values[first] is None else "",
            "cotangent": tuple(map(cotangents.get, range(len(node.values)))) if several else cotangents.get(first),
            "shape": tuple(shape for shape, _, _ in metadata.values()) if several else metadata[first][0],
            "dtype": metadata[first][1],
            "device": metadata[first][2],
            "requires_grad": node.requires_grad,
            "outputs": used,
            "differentiable": node.differentiable,
            "module": self._module(node),
            "training": self._training(node),
            "root": self._roots.get(id(node.tensors[0]), "") if node.kind == "leaf" else "",
            "is_named": key not in self._lettered,
            "earlier_gradient": _earlier_gradient(node),
            "source": self._source(node),
            "call": node.call,
            "inner_calls": node.inner_calls,
            "inner_inputs": node.inner_inputs,
        }

    def _metadata(self, key: Key, node: DraftNode, place: int) -> tuple[tuple[int, ...], torch.dtype, torch.device]:
        """Shape, dtype and device of one output; autograd knows them where the value is not known."""
        value = node.values[place]
        if value is None and is_autograd_node(key) and place in node.differentiable:
            value = output_metadata(key)[node.differentiable.index(place)]
        if value is None:
            return (), torch.float32, torch.device("cpu")
        return tuple(value.shape), value.dtype, value.device

    def _cotangents(self, key: Key, node: DraftNode) -> dict[int, Tensor | None]:
        """Output of the call -> the cotangent that reached it."""
        if not is_autograd_node(key):
            return {}
        if node.kind == "leaf":
            return {0: self._backward.gradients.get(key)}
        return dict(zip(node.differentiable, self._backward.cotangents.get(key, ()), strict=False))

    def _output_names(self, node: DraftNode, name: str) -> tuple[str, ...]:
        assigned = self._assigned_names(node)
        if len(assigned) == len(node.values):
            return assigned
        return tuple(f"{name}[{place}]" for place in range(len(node.values)))

    def _module(self, node: DraftNode) -> str:
        if node.kind != "op":
            return self._modules.get(id(node.tensors[0]), "")
        module = self._recorder.calls[node.call_index].module if node.call_index is not None else None
        return "" if module is None else self._modules.get(id(module), type(module).__name__)

    def _scopes(self, order: list[Key]) -> dict[Key, ScopePath]:
        """The calls in which each node was made; of what no recorded call made, those in which all its uses lie."""
        calls = self._recorder.calls
        indices = {key: self._draft.nodes[key].call_index for key in order if self._draft.nodes[key].kind == "op"}
        made_in = {key: calls[index].scope for key, index in indices.items() if index is not None}
        paths = scope_paths(set(made_in.values()), self._modules)
        users: dict[Key, list[Key]] = {}
        for edge in self._draft.edges:
            users.setdefault(edge.tail, []).append(edge.head)
        found: dict[Key, ScopePath] = {}
        for key in reversed(order):
            found[key] = paths[made_in[key]] if key in made_in else common(found[user] for user in users.get(key, ()))
        return found

    def _training(self, node: DraftNode) -> bool | None:
        """Whether the module that made a call is in training mode; None outside of modules."""
        module = self._recorder.calls[node.call_index].module if node.call_index is not None else None
        return None if module is None else bool(module.training)

    def _lost_leaves(self) -> dict[str, tuple[str, str, str, str]]:
        """Leaves that the code knows and the graph does not hold: name -> (root, reason, op, source line)."""
        leaves = [node.tensors[0] for node in self._draft.nodes.values() if node.kind == "leaf"]
        held = {id(leaf) for leaf in leaves}
        candidates = {
            self._names.of_tensor(tensor): tensor
            for tensor in self._names.tensors()
            if is_leaf(tensor) and id(tensor) not in held
        }
        lost = lost_leaves(self._recorder, candidates, self._roots, [leaf for leaf in leaves if leaf is not None])
        return {
            name: (found.root, found.reason, found.op, self._call_source(found.call)) for name, found in lost.items()
        }

    def _call_source(self, index: int) -> str:
        return "" if index < 0 else self._naming.source(self._recorder.calls[index].frames)

    def _source(self, node: DraftNode) -> str:
        if node.kind == "leaf" and (made := self._made_leaves.get(id(node.tensors[0]))) is not None:
            return self._naming.source(made)
        return "" if node.call_index is None else self._naming.source(node.frames)

    @cached_property
    def _made_leaves(self) -> dict[int, Frames]:
        """Leaf -> where it was made, if that was recorded."""
        return {
            id(output): call.frames
            for call in self._recorder.calls
            if call.sequence < 0
            for output in outputs_of(call.result)
            if output is not None and is_leaf(output)
        }

    def _assigned_names(self, node: DraftNode) -> tuple[str, ...]:
        """What the user's code assigns the result to: one name, or one for each output."""
        if node.call_index is None:
            return ()
        if node.inner_calls:
            return next((names for names in result_names(node.frames) if len(names) in (1, len(node.values))), ())
        return self._assigned.get(node.call_index, ())

    def _head(self, key: Key, names: Mapping[Key, str], nodes: tuple[Node, ...], places: dict[Key, int]) -> Head:
        """What the partials into one node share."""
        edges = self._edges_into[key]
        arguments = [""] * (1 + max([edge.position for edge in edges], default=-1))
        for edge in edges:
            arguments[edge.position] = self._name_of_output(edge.tail, edge.output, names)
        name = self._name_of_output(key, min(self._used[key], default=0), names)
        return Head(nodes, places[key], self._draft.nodes[key].call, name, tuple(arguments))

    def _name_of_output(self, key: Key, output: int, names: Mapping[Key, str]) -> str:
        if len(self._used[key]) < 2:
            return names[key]
        return self._output_names(self._draft.nodes[key], names[key])[output]

    def _partial(self, edge: DraftEdge, number: Mapping[Key, int], head: Head | None) -> LocalPartial | None:
        if edge.slot is None or head is None or not is_autograd_node(edge.head):
            return None
        places = self._draft.nodes[edge.head].differentiable
        used = [output for output, place in enumerate(places) if place in self._used[edge.head]]
        key = (number[edge.tail], number[edge.head], edge.position)
        return LocalPartial(key, edge.slot, used[0] if used else 0, head)

    def _backward_order(self, autograd: AutogradGraph) -> dict[Key, int]:
        """Key -> its place in the engine's order. A leaf's gradient is settled right after its last contribution."""
        waiting: dict[Node, int] = dict.fromkeys(autograd.variables, 0)
        for node in self._backward.order:
            for tail, _ in autograd.slots[node]:
                if tail in waiting:
                    waiting[tail] += 1
        order: list[Node] = [node for node, count in waiting.items() if count == 0]
        for node in self._backward.order:
            order.append(node)
            for tail, _ in autograd.slots[node]:
                if tail in waiting:
                    waiting[tail] -= 1
                    if waiting[tail] == 0:
                        order.append(tail)
        return {node: place for place, node in enumerate(order)}


def _earlier_gradient(node: DraftNode) -> Tensor | None:
    """The norm of what a leaf's `.grad` holds already, to which `.backward()` would add; None where there is nothing."""
    leaf = node.tensors[0] if node.kind == "leaf" else None
    if leaf is None or leaf.grad is None or leaf.device.type == "meta":
        return None
    norm: Tensor = leaf.grad.detach().norm()
    return norm


def _starting(places: list[tuple[int, int]], cotangents: list[Tensor]) -> dict[tuple[int, int], Tensor]:
    """(node, output) -> the cotangent that starts there; a tensor that was returned twice gets both."""
    found: dict[tuple[int, int], Tensor] = {}
    for place, cotangent in zip(places, cotangents, strict=True):
        found[place] = found[place] + cotangent if place in found else cotangent
    return found


def _added(contribution: Tensor | None, value: Tensor | None) -> Tensor | None:
    """A contribution as the engine adds it: a node may answer before broadcasting is summed away, or in another dtype."""
    if contribution is None or value is None:
        return contribution
    if contribution.shape != value.shape:
        contribution = contribution.sum_to_size(value.shape)
    return contribution if contribution.dtype == value.dtype else contribution.to(value.dtype)
