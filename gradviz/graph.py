"""`GradGraph`: the traced graph as a `networkx.MultiDiGraph`, on which every networkx algorithm runs.

Node attributes: `kind` ("leaf", "op", "constant"), `name`, `output_names`, `op`, `expression`, `value`, `value_missing`,
`cotangent`, `shape`, `dtype`, `device`, `requires_grad`, `outputs`, `module`, `source`, `call`, `inner_calls`,
`backward_order`, `is_output`. Edge key: argument position. Edge attributes: `argument`, `output`, `partial`,
`contribution`, `cut`. A call of which several outputs are used has tuples for `value`, `cotangent` and `shape`, one place
per output of the call; `outputs` lists the places that are used, and an edge's `output` says which one it carries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import networkx as nx
from torch import Tensor

from gradviz.errors import InputError

if TYPE_CHECKING:
    from gradviz.check import CheckReport
    from gradviz.partials import LocalPartial

Edge = tuple[int, int, int]
"""(tail, head, argument position)"""


class Use(NamedTuple):
    """One edge with what it carries."""

    edge: Edge
    argument: str
    output: int
    partial: LocalPartial | None
    contribution: Tensor | None
    cut: str


class GradGraph(nx.MultiDiGraph):
    """A traced computation: nodes are values, edges are uses of values, from producer to consumer.

    `trace` makes it; networkx's own copies and subgraphs of it carry the same attributes.

    Attributes:
        outputs: the nodes of the outputs, as the traced code returned them.
        leaves: name -> node, for the inputs and parameters that require grad.
    """

    @property
    def outputs(self) -> list[int]:
        return list(self.graph["outputs"])

    @property
    def output(self) -> int:
        """The node of the (first) output."""
        return self.outputs[0]

    @property
    def leaves(self) -> dict[str, int]:
        return {name: node for name, node in self.graph["leaves"].items() if node in self}

    def gradients(self) -> dict[str, Tensor | None]:
        """Name of each leaf -> its gradient, shaped like the leaf; None where none reached it.

        The tensors are those of one real backward pass: bit for bit what `.backward()` would store in `.grad`.
        """
        return {name: self.nodes[node]["cotangent"] for name, node in self.leaves.items()}

    def node(self, name: str) -> int:
        """The node called `name`.

        Raises:
            InputError: no node has that name.
        """
        names: dict[str, int] = self.graph["names"]
        if name not in names or names[name] not in self:
            known = ", ".join(list(names)[:20]) + (", ..." if len(names) > 20 else "")
            raise InputError(f"the graph has no node called {name!r}; its nodes are called {known}")
        return names[name]

    def value(self, node: int, output: int | None = None) -> Tensor | None:
        """The forward value of a node, or of one of its outputs; None where it is not known (see `value_missing`)."""
        return _one_output(self.nodes[node], "value", output)

    def cotangent(self, node: int, output: int | None = None) -> Tensor | None:
        """d(graph output)/d(value) of a node, or of one of its outputs; None where no gradient reaches it."""
        return _one_output(self.nodes[node], "cotangent", output)

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

    def argument_names(self, node: int) -> list[str]:
        """The names of a call's tensor arguments, one per argument position."""
        named = {use.edge[2]: self.output_name(use.edge[0], use.output) for use in self.arguments_of(node)}
        return [named.get(position, "") for position in range(max(named, default=-1) + 1)]

    def differentiable_edges(self) -> Iterable[Edge]:
        """The edges along which a gradient can flow, in forward order of their heads."""
        for head in self:
            yield from (use.edge for use in self.arguments_of(head) if use.partial is not None)

    def check(
        self,
        *,
        edges: Iterable[Edge] | None = None,
        samples: int = 8,
        seed: int = 0,
        time_limit_s: float | None = None,
        progress: bool = False,
    ) -> CheckReport:
        """Every edge, forward value and (for up to 12 scalar leaves) whole gradient against sympy.

        Args:
            edges: (tail, head, key) of the edges to check, with the forward values of their heads; None for all.
            samples: how many rows of a large Jacobian, and elements of a large value, are looked at one by one.
            seed: random rows and cotangents are drawn from it; the same seed gives the same report.
            time_limit_s: after this many seconds the rest is unverified, "out of time".
            progress: whether to show on stderr what is being checked.

        Raises:
            CheckError: `edges` names an edge that does not exist or carries no gradient, or an option is out of range.
        """
        from gradviz.check import check

        return check(self, edges=edges, samples=samples, seed=seed, time_limit_s=time_limit_s, progress=progress)

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        if "outputs" not in self.graph:
            return f"<{type(self).__name__} without outputs>"
        output = self.nodes[self.output]
        return (
            f"<{type(self).__name__} of {output['name']!r}: {self.number_of_nodes()} nodes, "
            f"{self.number_of_edges()} edges, {len(self.leaves)} leaves>"
        )


def _one_output(attributes: dict[str, Any], which: str, output: int | None) -> Tensor | None:
    found = attributes[which]
    if not isinstance(found, tuple):
        return found  # type: ignore[no-any-return]
    return found[attributes["outputs"][0] if output is None else output]  # type: ignore[no-any-return]


def _use(tail: int, head: int, key: int, attributes: dict[str, Any]) -> Use:
    return Use(
        edge=(tail, head, key),
        argument=attributes["argument"],
        output=attributes["output"],
        partial=attributes["partial"],
        contribution=attributes["contribution"],
        cut=attributes["cut"],
    )
