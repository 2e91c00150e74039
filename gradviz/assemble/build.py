"""Turns a recording and one backward pass into a `GradGraph`: numbers the draft in forward order, names it, writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from gradviz.assemble.cotangents import Cotangents
from gradviz.assemble.custom import custom_functions
from gradviz.assemble.draft import draft_of
from gradviz.assemble.drafted import Draft, DraftNode, Key, draft_edge, is_autograd_node
from gradviz.assemble.given import Given
from gradviz.assemble.leaves import earlier_gradient
from gradviz.assemble.node_attributes import NodeAttributes
from gradviz.assemble.node_names import NodeNames, Used
from gradviz.assemble.node_scopes import node_scopes
from gradviz.assemble.node_sources import NodeSources
from gradviz.assemble.order import backward_order, forward_order
from gradviz.assemble.unreached import last_cut, lost_leaves
from gradviz.assemble.unseen import (
    hooks_known,
    hooks_on,
    leaves_of_products_behind,
    moved_by_hand,
    numbers_read,
    unseen_writes,
    written_by,
)
from gradviz.attributes import INNER_BACKWARD
from gradviz.collector import collector_paused
from gradviz.errors import TraceError
from gradviz.graph import GradGraph
from gradviz.partials import Head, LocalPartial
from gradviz.recording.backward import AutogradGraph, Backward, autograd_graph, run_backward
from gradviz.recording.backward_log import as_added
from gradviz.recording.hooks import registered_by_others
from gradviz.recording.names import named_tensors
from gradviz.recording.naming import Naming, TensorNames, module_paths
from gradviz.recording.nodes import is_leaf, output_metadata
from gradviz.recording.optimizers import Held, held_by
from gradviz.recording.outputs import differentiable_outputs, starting_cotangents
from gradviz.recording.record import Recorder
from gradviz.recording.scopes import Scope
from gradviz.recording.spread import refuse_freed
from gradviz.standin import StandIn

_NESTED = "a nested tensor of layout torch.strided has no shape to show; accepted: a padded tensor, or its parts"
_FIRST = (0,)  # made once: of most nodes the first output is used
_new_head = tuple.__new__  # what the class of a named tuple calls in turn, by a function more


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What was run: the recorder that listened, and of what the code returned the tensors to differentiate."""

    recorder: Recorder
    outputs: list[Tensor]


def traced(recorder: Recorder, result: Any) -> Traced:
    """The outputs to differentiate alone: what else the code returned need not be held on to.

    Raises:
        TraceError: no gradient leads to the result.
    """
    recorder.forget_frames()
    return Traced(recorder=recorder, outputs=differentiable_outputs(result, lambda outputs: last_cut(recorder, outputs)))


def build_graph(traced: Traced, naming: Naming, grad_output: Any) -> GradGraph:
    """The graph of what was traced.

    Raises:
        TraceError: the graph of the result cannot be traced.
        InputError: `grad_output` is missing or does not fit.
    """
    with collector_paused():
        return _built(traced, naming, grad_output)


def _built(traced: Traced, naming: Naming, grad_output: Any) -> GradGraph:
    outputs, recorder = traced.outputs, traced.recorder
    cotangents = starting_cotangents(outputs, grad_output)
    recorder.settle()
    roots = [get_gradient_edge(output) for output in outputs]
    autograd = autograd_graph([(root.node, root.output_nr) for root in roots])
    if any(map(_is_nested, autograd.variables.values())):
        raise TraceError(_NESTED)
    names = TensorNames(naming)
    alive = [*outputs, *names.tensors()]
    in_sight = partial(_in_sight, recorder, alive)
    hooks = hooks_known([*autograd.variables.values(), *in_sight()] if registered_by_others() else ())
    kept = recorder.kept_graphs.found.values()
    backward = run_backward(autograd, outputs, cotangents, in_sight, recorder.keeper, recorder.leaves, kept)
    if not recorder.calls:
        refuse_freed(autograd.variables.values())
    with torch.no_grad():
        inputs = [tensor for _, tensor in named_tensors(naming.inputs)]
        draft = draft_of(autograd, recorder, inputs, alive=alive)
        root_outputs: list[tuple[Key, int]] = [
            (root.node, draft.nodes[root.node].differentiable[root.output_nr]) for root in roots
        ]
        writer = _Writer(draft, root_outputs, backward, naming, names, recorder)
        owners = tuple([root.ownership_token for root in roots if root.ownership_token])
        return writer.written(cotangents, autograd, owners, hooks)


def _is_nested(tensor: Tensor) -> bool:
    """Whether a tensor is nested in the layout in which it has no shape."""
    return tensor.is_nested and tensor.layout is torch.strided


def _in_sight(recorder: Recorder, alive: list[Tensor]) -> Iterator[Tensor]:
    """The tensors in sight, of which the user may have asked torch to keep `.grad`, or to call a hook."""
    made = (output for call in recorder.calls for output in call.outputs if output is not None)
    return chain(alive, made)


class _Writer:
    def __init__(
        self,
        draft: Draft,
        roots: list[tuple[Key, int]],
        backward: Backward,
        naming: Naming,
        names: TensorNames,
        recorder: Recorder,
    ) -> None:
        self._draft = draft
        self._root_outputs = roots
        self._backward = backward
        self._cotangents = Cotangents(draft, backward)
        self._naming = naming
        self._recorder = recorder
        self._tensor_names = names
        self._module_of_scope: dict[Scope, tuple[str, bool | None]] = {}
        self._modules, self._roots, self._classes = module_paths(naming)
        self._used = _used_outputs(draft, roots)
        self._number = forward_order(draft, names.tensors())
        self._order = list(self._number)
        self._given = [key for key in self._order if draft.nodes[key].kind != "op"]
        self._leaves = [key for key in self._given if draft.nodes[key].kind == "leaf"]
        self._held = Given(draft, self._given)
        self._scopes = node_scopes(draft, self._order, recorder.calls, self._modules)
        calls = {name for scope in set(self._scopes.values()) for name in scope}
        self._names = NodeNames(draft, self._order, self._used, names, recorder, calls)
        self._sources = NodeSources(draft, recorder, naming, self._names.wrapped)

    def written(
        self,
        cotangents: list[Tensor],
        autograd: AutogradGraph,
        owners: tuple[Node, ...],
        hooks: Mapping[int, tuple[str, ...]],
    ) -> GradGraph:
        order, number, names = self._order, self._number, self._names.of_node
        settled = backward_order(self._backward.order, autograd)
        root_keys = {key for key, _ in self._root_outputs}
        nodes = []
        for key in order:
            attributes = self._attributes(key, self._draft.nodes[key])
            attributes.backward_order = settled.get(key)
            attributes.is_output = key in root_keys
            attributes.scope = self._scopes[key]
            nodes.append(vars(attributes))
        graph = GradGraph.of(nodes, self._edges(owners))
        graph.graph["outputs"] = [number[key] for key, _ in self._root_outputs]
        graph.graph["starting_cotangents"] = _starting([(number[key], at) for key, at in self._root_outputs], cotangents)
        graph.graph["leaves"] = {names[key]: number[key] for key in self._leaves}
        graph.graph["names"] = {name: number[key] for key, name in names.items()}
        graph.graph["classes"] = self._classes
        graph.graph["lost_leaves"] = self._lost_leaves()
        graph.graph["moved_leaves"] = self._moved_leaves(graph)
        graph.graph["optimized"] = self._optimized([*graph.leaves, *graph.graph["lost_leaves"]])
        graph.graph["unseen_writes"] = self._unseen_writes()
        graph.graph["states"] = {number[key]: state for key, state in self._held.states.items()}
        read = numbers_read(self._draft, self._recorder)
        graph.graph["numbers_read"] = {number: self._sources.of_call(index) for number, index in read.items()}
        graph.graph["numbers_of"] = self._numbers_of(read)
        applied = custom_functions(self._draft, self._recorder, autograd.slots, self._sources.of_call)
        graph.graph["hooks"] = self._hooks(hooks) if hooks else {}
        graph.graph["node_hooks"] = {number[node]: found for node, found in self._backward.hooks.items()}
        kept = self._recorder.kept_graphs.found
        graph.graph["kept_graphs"] = {number[node]: buffer for node, buffer in kept.items() if node in number}
        graph.graph["functions"] = {number[node]: function for node, function in applied.items()}
        return graph

    def _edges(self, owners: tuple[Node, ...]) -> Iterator[tuple[int, int, int, dict[str, Any]]]:
        """The edges by their heads. A partial belongs to those along which the engine sent a contribution."""
        autograd_nodes = tuple([key for key in self._order if is_autograd_node(key)])
        kept = autograd_nodes + owners  # until torch 2.12 a custom Function's node forgets its outputs without an owner
        places: dict[Key, int] = {node: place for place, node in enumerate(autograd_nodes)}
        number, drafted, edges_into, names = self._number, self._draft.nodes, self._draft.edges_into, self._names
        several, of_node, applied = names.several, names.of_node, self._draft.applied
        sent: Mapping[Any, Sequence[Tensor | None]] = self._backward.contributions
        for own, key in enumerate(self._order):
            edges = edges_into.get(key)
            if not edges:
                continue
            contributions = sent.get(key)
            arguments: dict[int, str] = {}
            head = self._head(key, arguments, kept, places[key]) if contributions else None
            first = self._first_output(key) if contributions else 0
            for behind, position, argument, output, slot, cut in edges:
                tail = number[behind]
                arguments[position] = names.of_output(behind, output) if behind in several else of_node[behind]
                partial = contribution = None
                if slot is not None and head is not None and contributions:
                    partial = LocalPartial((tail, own, position), slot, first, head)
                    contribution = contributions[slot]
                    value = drafted[behind].values[output]
                    if contribution is not None and value is not None:
                        contribution = as_added(contribution, value.shape, value.dtype)
                if cut and key in applied and self._cotangents.is_from_within(behind):
                    cut = INNER_BACKWARD
                yield (
                    tail,
                    own,
                    position,
                    {"argument": argument, "output": output, "partial": partial, "contribution": contribution, "cut": cut},
                )

    def _attributes(self, key: Key, node: DraftNode) -> NodeAttributes:
        used = self._used.get(key) or node.differentiable[:1] or (0,)
        first = used[0]
        value = node.values[first]
        made = NodeAttributes()
        made.kind = kind = node.kind
        made.name = name = self._names.of_node[key]
        made.output_names = (name,)
        made.op = node.op
        made.expression = self._expression(node) if self._tensor_names.expressions else ""
        made.value = value
        made.value_missing = "" if type(value) is Tensor else _missing(value, node.value_missing)
        made.cotangent = self._cotangents.at(key, first)
        if value is None:
            made.shape, made.dtype, made.device = self._metadata(key, node, first)
        elif _is_nested(value):
            raise TraceError(_NESTED)
        else:
            made.shape, made.dtype, made.device = tuple(value.shape), value.dtype, value.device
        if len(used) > 1:
            everywhere = range(len(node.values))
            made.output_names = self._names.of_outputs(key)
            made.value = node.values
            made.cotangent = tuple([self._cotangents.at(key, place) for place in everywhere])
            made.shape = tuple([self._metadata(key, node, place)[0] for place in everywhere])
        made.requires_grad = node.requires_grad
        made.outputs = used
        made.differentiable = self._cotangents.places(key) if key in self._draft.applied else node.differentiable
        module, training = self._module_of_call(node.call_index)
        held, root = node.tensors[0], ""
        if kind != "op":
            module, root = self._modules.get(id(held), ""), self._roots.get(id(held), "")
        made.module, made.training, made.root = module, training, root
        made.is_named = key not in self._names.lettered and key not in self._names.wrapped
        made.earlier_gradient = earlier_gradient(held) if kind == "leaf" else None
        made.source = self._sources.of_node(key, node)
        made.call = node.call
        made.inner_calls = node.inner_calls
        made.inner_inputs = node.inner_inputs
        return made

    def _module_of_call(self, index: int | None) -> tuple[str, bool | None]:
        """The innermost module that made a call, and whether it is training; "" and None outside of modules."""
        if index is None:
            return "", None
        call = self._recorder.calls[index]
        known = self._module_of_scope.get(call.scope)
        if known is None:
            module = call.module
            path = "" if module is None else self._modules.get(id(module), type(module).__name__)
            known = self._module_of_scope[call.scope] = path, None if module is None else bool(module.training)
        return known

    def _expression(self, node: DraftNode) -> str:
        """What math text says of a value; "" where it says nothing."""
        written = self._tensor_names.expressions
        return next((written[id(tensor)] for tensor in node.tensors if id(tensor) in written), "")

    def _metadata(self, key: Key, node: DraftNode, place: int) -> tuple[tuple[int, ...], torch.dtype, torch.device]:
        """Shape, dtype and device of one output; autograd knows them where the value is not known."""
        value = node.values[place]
        if value is None and is_autograd_node(key) and place in node.differentiable:
            value = output_metadata(key)[node.differentiable.index(place)]
        if value is None:
            return (), torch.float32, torch.device("cpu")
        return tuple(value.shape), value.dtype, value.device

    def _optimized(self, leaves: Iterable[str]) -> dict[str, Held]:
        """Name of each leaf that an optimizer in sight holds -> what it says of it."""
        told = held_by(self._naming.optimizers())
        held = {self._tensor_names.of_tensor(parameter): entry for parameter, entry in told}
        return {leaf: held[leaf] for leaf in leaves if leaf in held}

    def _lost_leaves(self) -> dict[str, tuple[str, str, str, str]]:
        """Leaves that the code knows and the graph does not hold: name -> (root, reason, op, source line)."""
        leaves = [self._draft.nodes[key].tensors[0] for key in self._leaves]
        held = {id(leaf) for leaf in leaves}
        others = [tensor for tensor in self._tensor_names.tensors() if is_leaf(tensor) and id(tensor) not in held]
        candidates = {self._tensor_names.of_tensor(tensor): tensor for tensor in others}
        moved = moved_by_hand(candidates, self._recorder)
        candidates = {name: leaf for name, leaf in candidates.items() if name not in moved}
        known, forwards = [leaf for leaf in leaves if leaf is not None], self._draft.in_forwards
        lost = lost_leaves(self._recorder, candidates, self._roots, known, forwards)
        line = self._sources.outside_functions
        return {name: (one.root, one.reason, one.op, line(one.call)) for name, one in lost.items()}

    def _moved_leaves(self, graph: GradGraph) -> dict[str, str]:
        """Name of each leaf without a gradient that the code itself moves -> the line."""
        still = {name: self._order[leaf] for name, leaf in graph.leaves.items() if graph.cotangent(leaf) is None}
        leaves = {name: self._draft.nodes[key].tensors[0] for name, key in still.items()}
        return {name: self._sources.of_call(index) for name, index in moved_by_hand(leaves, self._recorder).items()}

    def _unseen_writes(self) -> dict[int, tuple[tuple[str, str], ...]]:
        """Node -> the writes to its value that autograd does not see: op and source line."""
        return {
            self._number[key]: tuple((written_by(self._recorder, index), self._sources.of_call(index)) for index in indices)
            for key, indices in unseen_writes(self._draft, self._recorder).items()
        }

    def _numbers_of(self, read: Mapping[float, int]) -> dict[float, tuple[str, ...]]:
        """Number that the code read -> the leaves of the graph from whose products with data it was computed."""
        if not read:
            return {}
        leaves = {id(self._draft.nodes[key].tensors[0]): key for key in self._leaves}
        behind = {number: leaves_of_products_behind(self._recorder.calls[at].args[0]) for number, at in read.items()}
        return {
            number: tuple(self._names.of_node[leaves[id(leaf)]] for leaf in found if id(leaf) in leaves)
            for number, found in behind.items()
        }

    def _hooks(self, known: Mapping[int, tuple[str, ...]]) -> dict[tuple[int, int], tuple[str, ...]]:
        """(node, output) -> the hooks on it."""
        return hooks_on({self._number[key]: node.tensors for key, node in self._draft.nodes.items()}, known)

    def _head(self, key: Key, arguments: Mapping[int, str], nodes: tuple[Node, ...], place: int) -> Head:
        """What the partials into one node share. `arguments` is filled while the edges are written."""
        names = self._names
        name = names.of_output(key, self._used[key][0]) if key in names.several else names.of_node[key]
        inner = [leaf for leaf, _ in self._backward.inner] if key in self._draft.applied else ()
        shared = (nodes, place, self._draft.nodes[key].call, name, arguments, inner)
        return _new_head(Head, (*shared, self._cotangents.handed(key), self._held.live))

    def _first_output(self, key: Key) -> int:
        """The first of the autograd node's outputs that is used, in the node's own order."""
        if len(self._draft.nodes[key].differentiable) == 1:
            return 0
        used = self._used.get(key, ())
        return next((output for output, place in enumerate(self._cotangents.places(key)) if place in used), 0)


def _used_outputs(draft: Draft, roots: Sequence[tuple[Key, int]]) -> Used:
    """The outputs that edges read and those that the backward pass starts from."""
    used: dict[Key, tuple[int, ...]] = {}
    read_by_caller = [draft_edge(key, place, "", output, None) for place, (key, output) in enumerate(roots)]
    for edges in chain(draft.edges_into.values(), [read_by_caller]):
        for edge in edges:
            output, known = edge.output, used.get(edge.tail)
            if known is None:
                used[edge.tail] = (output,) if output else _FIRST
            elif output not in known:
                used[edge.tail] = tuple(sorted((*known, output)))
    return used


def _missing(value: Tensor | None, unknown: str) -> str:
    """Why the elements of a value are not there; "" where they are."""
    if isinstance(value, StandIn):
        return value.reason
    return unknown if value is None else ""


def _starting(places: list[tuple[int, int]], cotangents: list[Tensor]) -> dict[tuple[int, int], Tensor]:
    """(node, output) -> the cotangent that starts there; a tensor that was returned twice gets both."""
    found: dict[tuple[int, int], Tensor] = {}
    for place, cotangent in zip(places, cotangents, strict=True):
        found[place] = found[place] + cotangent if place in found else cotangent
    return found
