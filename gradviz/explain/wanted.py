"""What all sections of one explanation share: the graph, the value that is explained, and its paths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from gradviz.explain import sentences as say
from gradviz.explain.amounts import loss_name
from gradviz.explain.rounded import Rounded
from gradviz.explain.terms import Derivative, Line, Name
from gradviz.graph import Edge, GradGraph, Use
from gradviz.paths import Paths, paths_from
from gradviz.view.summary import is_opaque

Item = TypeVar("Item")
MAX_LINES = 40
"""How many values, partials or steps one section lists; the others are counted."""


@dataclass(frozen=True, kw_only=True)
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

    @cached_property
    def rounded(self) -> Rounded:
        """What rounding may have made of the values."""
        return Rounded(self.graph)

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
        """What a node is called, whichever of its outputs is used."""
        return str(self.graph.nodes[node]["name"])

    def uses_into(self, head: int) -> list[Use]:
        """The edges into a node that lie on a path."""
        return [use for use in self.graph.arguments_of(head) if use.partial is not None and use.edge[0] in self.between]

    def use(self, edge: Edge) -> Use:
        """An edge with what it carries."""
        return next(use for use in self.graph.arguments_of(edge[1]) if use.edge == edge)

    def derivative(self, use: Use) -> Derivative:
        """∂head/∂tail, marked where that sign stands for another number, the total derivative."""
        tail, head, _ = use.edge
        total = self.paths.gradient
        differs = total is None or use.contribution is None or not is_equal(use.contribution, total)
        fixed = self.held(use) if tail == self.node and self.paths.count > 1 and differs else ""
        return Derivative(Name(self.value_name(head)), Name(self.graph.output_name(tail, use.output)), fixed)

    def held(self, use: Use) -> str:
        """What a partial of the loss holds fixed that moves with its tail: its other arguments; "" of another head.

        Where the tail itself is several arguments, the number of this one.
        """
        tail, head, position = use.edge
        others = [one.edge[0] for one in self.uses_into(head) if one.edge != use.edge]
        if self.value_name(head) != self.loss or not others:
            return ""
        return str(position + 1) if tail in others else ", ".join(map(self.value_name, dict.fromkeys(others)))


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


def is_equal(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same numbers; sparse ones and those that were not kept are not compared."""
    return not is_opaque(tensor) and not is_opaque(other) and torch.equal(tensor, other)


def limited(items: Sequence[Item], what: str, write: Callable[[Item], Line | None]) -> tuple[Line, ...]:
    """The first lines, and how many items are left out, which are not written either: there may be 100,000.

    Args:
        items: what lines are written of.
        what: one of them, in a word.
        write: the line of one; None where there is nothing to write.
    """
    lines: list[Line] = []
    for place, item in enumerate(items):
        if len(lines) == MAX_LINES:
            return (*lines, say.left_out(len(items) - place, what))
        if (line := write(item)) is not None:
            lines.append(line)
    return tuple(lines)
