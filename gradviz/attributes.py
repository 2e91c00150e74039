"""What a traced graph says of itself: the names, values, cotangents and edges of its nodes.

Node attributes: `kind` ("leaf", "op", "constant"), `name`, `output_names`, `op`, `expression`, `value`, `value_missing`,
`cotangent`, `shape`, `dtype`, `device`, `requires_grad`, `outputs`, `differentiable`, `module`, `training` (of that
module), `scope` (the calls of modules and functions that it lies in, from the outside in; see `gradviz.recording.scopes`),
`root` (the outermost module of a parameter), `is_named` (False where the name is a letter, or where the step itself wrapped
a value as a leaf), `earlier_gradient` (what the norm of a leaf's `.grad` was at least), `source`, `call`, `inner_calls`,
`backward_order`, `is_output`. Edge key: argument position. Edge attributes: `argument`, `output`, `partial`,
`contribution` (as it is handed on: a hook on the tail, or on its node, that returns another gradient or writes to this one
changes the tail's cotangent alone), `cut`. A call of which several outputs are used has tuples for `value`, `cotangent` and
`shape`, one place per output of the call; `outputs` lists the places that are used, and an edge's `output` says which one
it carries; `differentiable` lists the places that autograd counts as outputs of its node, in its order, with -1 for one
that a custom Function marked as not differentiable.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import networkx as nx
import torch
from torch import Tensor

from gradviz.errors import InputError
from gradviz.opcall import ALLOCATING, SAME_MEMORY
from gradviz.recording.held import State
from gradviz.recording.hooks import NodeHooks
from gradviz.recording.optimizers import Held
from gradviz.standin import StandIn, is_kept, statistics_kept
from gradviz.statistics import Statistics

if TYPE_CHECKING:
    from gradviz.partials import LocalPartial
    from gradviz.recording.functions import CustomFunction

Edge = tuple[int, int, int]
"""(tail, head, argument position)"""
INNER_BACKWARD = "a backward pass within gives its gradient"
"""The cut of an edge from a leaf into a custom Function whose backward() runs a backward pass of its own: reversible layers
do. Autograd's graph does not hold the way of that gradient."""

DATA = ".data"
"""What stands for the function that wrote to a value, where the tensor was assigned to: `h.data = other`."""
NO_WAY = "no gradient path to the output"
"""The cut of an edge that itself would carry a gradient, if one arrived: the reason lies behind it."""


def unknown_node(name: object, names: Iterable[str]) -> InputError:
    """What is said of a node that a graph of nodes called `names` does not have."""
    several = list(names)
    known = ", ".join(several[:20]) + (", ..." if len(several) > 20 else "")
    near = get_close_matches(str(name), several, n=1, cutoff=0.8)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return InputError(f"the graph has no node called {name!r}; {meant}its nodes are called {known}")


class Use(NamedTuple):
    """One edge with what it carries."""

    edge: Edge
    argument: str
    output: int
    partial: LocalPartial | None
    contribution: Tensor | None
    cut: str


class AttributedGraph(nx.MultiDiGraph):
    """Nodes are values, edges are uses of values, from producer to consumer.

    Attributes:
        outputs: the nodes of the outputs, as the traced code returned them.
        leaves: name -> node, for the inputs and parameters that require grad.
    """

    @classmethod
    def of(cls, nodes: Iterable[dict[str, Any]], edges: Iterable[tuple[int, int, int, dict[str, Any]]]) -> Self:
        """A graph of nodes, numbered from 0, and of edges between them: (tail, head, argument position, attributes).

        The dictionaries of attributes become the graph's own. Given to networkx one by one, each would be copied twice.
        """
        graph = cls()
        graph._node.update(enumerate(nodes))
        into, out_of = graph._pred, graph._succ
        into.update({node: {} for node in graph._node})
        out_of.update({node: {} for node in graph._node})
        for tail, head, key, attributes in edges:
            between = into[head].get(tail)
            if between is None:
                between = out_of[tail][head] = into[head][tail] = {}
            between[key] = attributes
        return graph

    @property
    def outputs(self) -> list[int]:
        return [node for node in self.graph.get("outputs", ()) if node in self]

    @property
    def output(self) -> int:
        """The node of the (first) output.

        Raises:
            InputError: this is a part of a graph, without its outputs.
        """
        if not self.outputs:
            raise InputError("this part of the graph does not hold an output; ask the whole graph")
        return self.outputs[0]

    @property
    def leaves(self) -> dict[str, int]:
        return {name: node for name, node in self.graph.get("leaves", {}).items() if node in self}

    def gradients(self) -> dict[str, Tensor | None]:
        """Name of each leaf -> its gradient, shaped like the leaf; None where none reached it.

        The tensors are those of one real backward pass: bit for bit what `.backward()` would store in `.grad`.
        """
        return {name: self.nodes[node]["cotangent"] for name, node in self.leaves.items()}

    def starting_cotangents(self) -> dict[tuple[int, int], Tensor]:
        """(node, output) -> the cotangent with which the backward pass started there: 1, or what `grad_output` says."""
        given: dict[tuple[int, int], Tensor] = self.graph.get("starting_cotangents", {})
        return {(node, place): cotangent for (node, place), cotangent in given.items() if node in self}

    def numbers_read(self) -> dict[float, str]:
        """Each Python number that the code made of a value with a gradient (`.item()`, `float()`) -> the line that did."""
        read: dict[float, str] = self.graph.get("numbers_read", {})
        return read

    def optimized(self) -> dict[str, Held]:
        """Name of each leaf that an optimizer in sight of the traced code holds -> which one, and its learning rate.

        Also of leaves that the code reads and the graph does not hold, since what was computed from them was lost.
        """
        held: dict[str, tuple[Any, ...]] = self.graph.get("optimized", {})
        return {name: Held(*entry) for name, entry in held.items()}

    def moved_leaves(self) -> dict[str, str]:
        """Name of each leaf without a gradient that the traced code itself moves, as a moving average does -> the line."""
        moved: dict[str, str] = self.graph.get("moved_leaves", {})
        return moved

    def unseen_writes(self) -> dict[int, tuple[tuple[str, str], ...]]:
        """Node -> the writes to its value that autograd does not see, under `no_grad` or through `.data`: (op, source line).

        The node's own value is that from before. What reads it later gets the new numbers, while gradients pass as if
        nothing had been written.
        """
        written: dict[int, tuple[tuple[str, str], ...]] = self.graph.get("unseen_writes", {})
        return {node: writes for node, writes in written.items() if node in self}

    def states(self) -> dict[int, State]:
        """Leaf or constant -> what its value held at the time of the trace; of a loaded graph none."""
        held: dict[int, State] = self.graph.get("states", {})
        return {node: state for node, state in held.items() if node in self}

    def hooks(self) -> dict[tuple[int, int], tuple[str, ...]]:
        """(node, output) -> the hooks that may change its cotangent, as "clip at train.py:12"."""
        found: dict[tuple[int, int], tuple[str, ...]] = self.graph.get("hooks", {})
        return {(node, output): hooks for (node, output), hooks in found.items() if node in self}

    def node_hooks(self) -> dict[int, NodeHooks]:
        """Node -> the hooks that lay on its autograd node in the backward pass, of a leaf those that act on its `.grad`."""
        found: dict[int, tuple[tuple[str, ...], ...]] = self.graph.get("node_hooks", {})
        return {node: NodeHooks(*hooks) for node, hooks in found.items() if node in self}

    def kept_graphs(self) -> dict[int, str]:
        """Node of an earlier step -> the buffer that held it when its module was called, as "state of Memory"."""
        kept: dict[int, str] = self.graph.get("kept_graphs", {})
        return {node: buffer for node, buffer in kept.items() if node in self}

    def inner_gradients(self) -> dict[int, str]:
        """Each leaf to whose gradient a backward pass within a custom Function's adds -> why nobody can check it."""
        found: dict[int, str] = {}
        for node in self.leaves.values():
            heads = [use.edge[1] for use in self.uses_of(node) if use.cut == INNER_BACKWARD]
            for op in dict.fromkeys(self.nodes[head]["op"] for head in heads):
                found[node] = f"{op}.backward() runs a backward pass of its own, which gives this gradient and is not seen"
        return found

    def custom_function(self, node: int) -> CustomFunction | None:
        """The custom `autograd.Function` that a node is a call of; None for other nodes, and in a loaded graph."""
        functions: dict[int, CustomFunction] = self.graph.get("functions", {})
        return functions.get(node)

    @property
    def loss(self) -> tuple[int, int] | None:
        """(node, output) of the one number from which the backward pass starts with 1; None where it starts otherwise."""
        starting = self.starting_cotangents()
        if len(starting) != 1:
            return None
        ((place, cotangent),) = starting.items()
        return place if cotangent.numel() == 1 and cotangent.item() == 1 else None

    def node(self, name: str) -> int:
        """The node called `name`.

        Raises:
            InputError: no node has that name.
        """
        names: dict[str, int] = self.graph["names"]
        if name not in names or names[name] not in self:
            raise unknown_node(name, names)
        return names[name]

    @property
    def is_loaded(self) -> bool:
        """Whether it comes from a file, without autograd's nodes."""
        return "loaded_from" in self.graph

    def require_numbers(self, purpose: str) -> None:
        """Refuses what needs numbers on a graph of the meta device, which holds shapes and dtypes only.

        Args:
            purpose: what needs them, as the start of the sentence.

        Raises:
            InputError: some value is on the meta device.
        """
        on_meta = (node for node in self.nodes.values() if node["device"].type == "meta")
        bare = next((node["name"] for node in on_meta if not _is_placeholder(node)), None)
        if bare is not None:
            raise InputError(f"{purpose} needs numbers, and {bare} is on the meta device, which holds shapes only")

    def value(self, node: int, output: int | None = None) -> Tensor | None:
        """The forward value of a node, or of one of its outputs; None where it is not known (see `value_missing`)."""
        return _one_output(self.nodes[node], "value", output)

    def cotangent(self, node: int, output: int | None = None) -> Tensor | None:
        """d(graph output)/d(value) of a node, or of one of its outputs; None where no gradient reaches it."""
        return _one_output(self.nodes[node], "cotangent", output)

    def statistics(self, node: int, output: int | None = None) -> Statistics | None:
        """Counts, extremes, mean, spread and histogram of a node's value, whether the graph kept its elements or not.

        None where the value is not known, or has no plain numbers. Of cotangents and contributions
        `gradviz.statistics_of` tells the same.

        >>> import gradviz
        >>> graph = gradviz.trace("A @ x", A=[[1, 0], [0, 2]], x=[0, 1], grad_output=[1, 1], device="cpu")
        >>> graph.statistics(graph.node("A")).zero_share
        0.5
        """
        value = self.value(node, output)
        return None if value is None else statistics_kept(value)

    @property
    def not_kept(self) -> str:
        """Of how much only statistics were kept, and why, in a sentence; "" where all was kept."""
        return not_kept(self)

    def output_name(self, node: int, output: int = 0) -> str:
        """What one output of a node is called: the node's name, or `q` for the first of `q, k, v = x.split(8)`."""
        attributes = self.nodes[node]
        if len(attributes["outputs"]) < 2:
            return str(attributes["name"])
        return str(attributes["output_names"][output])

    def uses_of(self, node: int) -> list[Use]:
        """The edges out of a node: who uses its value."""
        return [_use(*edge) for edge in self.out_edges(node, keys=True, data=True)]

    def arguments_of(self, node: int) -> list[Use]:
        """The edges into a node, by argument position."""
        return sorted((_use(*edge) for edge in self.in_edges(node, keys=True, data=True)), key=lambda use: use.edge[2])

    def partials_of(self, edge: Edge) -> dict[int, LocalPartial]:
        """Used output of the head -> the local partial of that output; empty where the edge carries no gradient."""
        partial: LocalPartial | None = self.edges[edge]["partial"]
        attributes = self.nodes[edge[1]]
        if partial is None:
            return {}
        return {
            place: partial.of_output(output)
            for output, place in enumerate(attributes["differentiable"])
            if place in attributes["outputs"]
        }

    def argument_names(self, node: int) -> list[str]:
        """The names of a call's tensor arguments, one per argument position."""
        named = {use.edge[2]: self.output_name(use.edge[0], use.output) for use in self.arguments_of(node)}
        return [named.get(position, "") for position in range(max(named, default=-1) + 1)]

    def differentiable_edges(self) -> Iterable[Edge]:
        """The edges along which a gradient can flow, in forward order of their heads."""
        for head in self:
            yield from (use.edge for use in self.arguments_of(head) if use.partial is not None)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = type(self)()
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __reduce_ex__(self, protocol: object) -> Any:
        raise InputError(
            "a graph holds live autograd nodes and cannot be pickled; graph.save(path) keeps its numbers and "
            "gradviz.load(path) reads them"
        )

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        of_what = f"of {self.nodes[self.output]['name']!r}" if self.outputs else "without outputs"
        return (
            f"<{type(self).__name__} {of_what}: {self.number_of_nodes()} nodes, "
            f"{self.number_of_edges()} edges, {len(self.leaves)} leaves>"
        )


def said_of_write(op: str) -> str:
    """What an entry of `unseen_writes` is called: "mul_", or ".data = ..." for an assignment."""
    return f"{DATA} = ..." if op == DATA else f"{op}_"


def not_kept(graph: nx.MultiDiGraph) -> str:
    """Of how much of a graph, or of a part of one, only statistics were kept, and why; "" where all was kept."""
    held = {
        "values": [one for node in graph.nodes.values() for one in _all_outputs(node["value"])],
        "cotangents": [one for node in graph.nodes.values() for one in _all_outputs(node["cotangent"])],
        "contributions": [contribution for _, _, contribution in graph.edges(data="contribution")],
    }
    missing = {what: [one for one in tensors if one is not None and not is_kept(one)] for what, tensors in held.items()}
    counts = [f"{len(tensors)} of {len(held[what])} {what}" for what, tensors in missing.items() if tensors]
    reasons = dict.fromkeys(one.reason for tensors in missing.values() for one in tensors if isinstance(one, StandIn))
    return f"{', '.join(counts)}: {'; '.join(reasons)}" if counts else ""


def unfilled(graph: nx.MultiDiGraph) -> set[int]:
    """The calls whose results hold what memory held, since nothing was written there yet: `torch.empty_like(x)`.

    >>> import gradviz, torch
    >>> graph = gradviz.trace(lambda x: torch.empty_like(x).bernoulli_(0.5) * x, torch.tensor(2.0, requires_grad=True))
    >>> [graph.nodes[node]["op"] for node in sorted(unfilled(graph))]
    ['empty_like', 'detach']
    """
    found: set[int] = set()
    for node, op in graph.nodes(data="op"):
        if op in ALLOCATING or (op in SAME_MEMORY and not found.isdisjoint(graph.predecessors(node))):
            found.add(node)
    return found


def _is_placeholder(node: Mapping[str, Any]) -> bool:
    """Whether it is the tensor without numbers that torch makes one nested tensor from another by."""
    return not node["requires_grad"] and isinstance(node["value"], Tensor) and node["value"].layout is torch.jagged


def _one_output(attributes: dict[str, Any], which: str, output: int | None) -> Tensor | None:
    found = attributes[which]
    if not isinstance(found, tuple):
        return found  # type: ignore[no-any-return]
    return found[attributes["outputs"][0] if output is None else output]  # type: ignore[no-any-return]


def _all_outputs(found: Tensor | tuple[Tensor | None, ...] | None) -> tuple[Tensor | None, ...]:
    return found if isinstance(found, tuple) else (found,)


def _use(tail: int, head: int, key: int, attributes: dict[str, Any]) -> Use:
    return Use(
        edge=(tail, head, key),
        argument=attributes["argument"],
        output=attributes["output"],
        partial=attributes["partial"],
        contribution=attributes["contribution"],
        cut=attributes["cut"],
    )
