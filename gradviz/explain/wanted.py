"""What all sections of one explanation share: the graph, the value that is explained, and its paths."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradviz.explain import sentences as say
from gradviz.explain.amounts import loss_name
from gradviz.explain.terms import Derivative, Line, Name
from gradviz.graph import Edge, GradGraph, Use
from gradviz.paths import Paths, paths_from

MAX_LINES = 40
"""How many values, partials or steps one section lists; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One value of a graph, whose gradient is explained.

    Attributes:
        node: the value.
        paths: from it to the outputs.
        between: the nodes on them, in forward order.
        loss: what is differentiated: the output's name, or `LOSS` where it is weighted with `grad_output`.
    """

    graph: GradGraph
    node: int
    paths: Paths
    between: tuple[int, ...]
    loss: str

    @property
    def name(self) -> str:
        return self.paths.name

    @property
    def sign(self) -> Derivative:
        """∂loss/∂value"""
        return Derivative(Name(self.loss), Name(self.name))

    @property
    def is_scalar(self) -> bool:
        """Whether every value on the way is a single real number."""
        return not self.is_complex and all(math.prod(self.shape(node)) == 1 for node in self.between)

    @property
    def is_complex(self) -> bool:
        """Whether some value on the way is of complex numbers, where a gradient is no product of derivatives."""
        return any(self.graph.nodes[node]["dtype"].is_complex for node in self.between)

    def shape(self, node: int) -> tuple[int, ...]:
        """The shape of the (first used) output of a node."""
        shape: tuple[int, ...] = self.graph.nodes[node]["shape"]
        several = len(self.graph.nodes[node]["outputs"]) > 1
        return shape[self.graph.nodes[node]["outputs"][0]] if several else shape

    def value_name(self, node: int) -> str:
        return str(self.graph.nodes[node]["name"])

    def uses_into(self, head: int) -> list[Use]:
        """The edges into a node that lie on a path."""
        return [use for use in self.graph.arguments_of(head) if use.partial is not None and use.edge[0] in self.between]

    def use(self, edge: Edge) -> Use:
        return next(use for use in self.graph.arguments_of(edge[1]) if use.edge == edge)

    def derivative(self, use: Use) -> Derivative:
        """∂head/∂tail"""
        tail, head, _ = use.edge
        return Derivative(Name(self.value_name(head)), Name(self.graph.output_name(tail, use.output)))


def wanted_value(graph: GradGraph, name: str, top: int) -> Wanted:
    """Looks up a value and its paths.

    Raises:
        InputError: no node has that name, or `top` is negative.
    """
    paths = paths_from(graph, name, top=top)
    return Wanted(
        graph=graph,
        node=graph.node(name),
        paths=paths,
        between=tuple(sorted(paths.between)),
        loss=loss_name(graph),
    )


def limited(lines: list[Line], what: str) -> tuple[Line, ...]:
    """The first lines, and how many are left out."""
    if len(lines) <= MAX_LINES:
        return tuple(lines)
    return (*lines[:MAX_LINES], say.left_out(len(lines) - MAX_LINES, what))
