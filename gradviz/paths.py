"""GradGraph and a value -> the paths along which its gradient arrives: the largest one by one, all others as one sum.

A gradient is the sum over all paths from the value to an output of the product of the local partials. A graph of n nodes
may have 2^n paths, so they are not listed: one sweep from the outputs to the value carries, at each node, the cotangents of
the largest partial paths that arrive there and the sum of those of all others. Between single numbers that is exact: what
is larger at a node stays larger behind it. Between tensors a product of Jacobians may turn the order around, which
`Paths.is_largest` then says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradviz.errors import InputError
from gradviz.graph import Edge, GradGraph

Place = tuple[int, int]
"""(node, output)"""
KEPT_TENSORS = 4
"""How many times as many partial paths are kept between tensors, where the largest so far need not stay the largest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One way from a value to an output.

    Attributes:
        nodes: from the value to the output.
        edges: between them, as (tail, head, argument position).
        contribution: what the path adds to the value's gradient, shaped like it: the product of the local partials.
    """

    nodes: tuple[int, ...]
    edges: tuple[Edge, ...]
    contribution: Tensor

    @property
    def size(self) -> float:
        """The Euclidean norm of the contribution; the absolute value of a single number."""
        return _size(self.contribution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """All paths from one value.

    Attributes:
        name: of the value.
        count: how many paths there are.
        top: the largest, largest first.
        rest: what the other `count - len(top)` paths add together; None where there are none.
        total: the sum over all paths, shaped like the value; empty where there is no path.
        gradient: what autograd found; equal to `total` to rounding, unless a hook changed a cotangent on the way.
        between: every node on some path, the value and the outputs included.
        is_largest: whether `top` are the largest for certain, or the largest of those that were followed to the end.
    """

    name: str
    count: int
    top: tuple[Path, ...]
    rest: Tensor | None
    total: Tensor
    gradient: Tensor | None
    between: frozenset[int]
    is_largest: bool

    @property
    def cancellation(self) -> float:
        """The largest contribution over the total: far above 1 where paths cancel; 0 where there is no path."""
        if not self.top:
            return 0.0
        total = _size(self.total)
        largest = max(self.top[0].size, 0.0 if self.rest is None else _size(self.rest))
        return largest / total if total else float("inf") if largest else 0.0


def paths_from(graph: GradGraph, name: str, *, top: int = 5) -> Paths:
    """The paths from a value to the outputs.

    Args:
        graph: the traced graph.
        name: of a leaf, or of any other value that a gradient reaches; of several outputs of one call, the first used.
        top: how many paths are returned one by one; the others are in `rest`.

    Raises:
        InputError: no node has that name, or `top` is negative.
        PartialError: a local partial can no longer be asked for.

    >>> import gradviz
    >>> graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0)
    >>> found = paths_from(graph, "x")
    >>> [[graph.nodes[node]["name"] for node in path.nodes] for path in found.top]
    [['x', 'b', 'c', 'd'], ['x', 'a', 'd']]
    >>> [round(path.size, 3) for path in found.top], float(found.total)
    ([3.142, 3.0], 6.141592653589793)
    """
    if not isinstance(top, int) or top < 0:
        raise InputError(f"top is {top!r}; accepted: 0 or more")
    with torch.no_grad():
        return _Sweep(graph, graph.node(name), top).paths(name)


@dataclass(frozen=True, slots=True)
class _Partial:
    """A path from an output down to some place: its last edge and the path before it."""

    cotangent: Tensor
    edge: Edge | None = None
    before: _Partial | None = None

    def edges(self) -> Iterator[Edge]:
        """From here to the output."""
        step: _Partial | None = self
        while step is not None:
            if step.edge is not None:
                yield step.edge
            step = step.before


@dataclass(slots=True)
class _Arrived:
    """What reaches one place: the partial paths kept, the sum of the others, and how many paths there are in all."""

    kept: list[_Partial] = field(default_factory=list)
    rest: Tensor | None = None
    count: int = 0

    def keep(self, most: int) -> bool:
        """Moves all but the `most` largest to the rest; whether any was moved."""
        self.kept.sort(key=lambda partial: -_size(partial.cotangent))
        dropped = self.kept[most:]
        del self.kept[most:]
        for partial in dropped:
            self.add(partial.cotangent)
        return bool(dropped)

    def add(self, cotangent: Tensor) -> None:
        self.rest = cotangent if self.rest is None else self.rest + cotangent


class _Sweep:
    """One pass from the outputs to a value, over the nodes that lie between them."""

    def __init__(self, graph: GradGraph, node: int, top: int) -> None:
        self._graph = graph
        self._node = node
        self._place: int = graph.nodes[node]["outputs"][0]
        self._top = top
        self._reached = _reached_from(graph, node)
        self._on_the_way: set[int] = set()
        self._is_largest = True
        self._arrived: dict[Place, _Arrived] = {}

    def paths(self, name: str) -> Paths:
        for place, cotangent in self._graph.starting_cotangents().items():
            if place[0] in self._reached:
                self._arrived[place] = _Arrived(kept=[_Partial(cotangent)], count=1)
        for head in sorted(self._reached - {self._node}, reverse=True):
            self._pass_on(head)
        found = self._arrived.get((self._node, self._place), _Arrived())
        if found.count:
            self._on_the_way.add(self._node)
        found.keep(self._top)
        gradient = self._graph.cotangent(self._node)
        nothing = torch.zeros(0 if gradient is None else gradient.shape)
        if gradient is not None:
            nothing = nothing.to(dtype=gradient.dtype, device=gradient.device)
        terms = [partial.cotangent for partial in found.kept] + ([] if found.rest is None else [found.rest])
        return Paths(
            name=name,
            count=found.count,
            top=tuple(self._path(partial) for partial in found.kept),
            rest=found.rest,
            total=sum(terms[1:], terms[0]) if terms else nothing,
            gradient=gradient,
            between=frozenset(self._on_the_way),
            is_largest=self._is_largest,
        )

    def _pass_on(self, head: int) -> None:
        """Carries what reached the outputs of `head` across its edges."""
        reached = {
            place: arrived
            for place in self._graph.nodes[head]["outputs"]
            if (arrived := self._arrived.pop((head, place), None)) is not None
        }
        if reached:
            self._on_the_way.add(head)
        for arrived in reached.values():
            single = all(partial.cotangent.numel() == 1 for partial in arrived.kept)
            most = self._top if single else KEPT_TENSORS * self._top
            if arrived.keep(most) and not single:
                self._is_largest = False
        for use in self._graph.arguments_of(head) if reached else ():
            if use.partial is None or use.edge[0] not in self._reached:
                continue
            partials = self._graph.partials_of(use.edge)
            target = self._arrived.setdefault((use.edge[0], use.output), _Arrived())
            for place, arrived in reached.items():
                if place not in partials:
                    continue
                vjp = partials[place].vjp
                target.kept += [_Partial(vjp(partial.cotangent), use.edge, partial) for partial in arrived.kept]
                target.count += arrived.count
                if arrived.rest is not None:
                    target.add(vjp(arrived.rest))

    def _path(self, partial: _Partial) -> Path:
        edges = tuple(partial.edges())
        nodes = (self._node, *(head for _, head, _ in edges))
        return Path(nodes=nodes, edges=edges, contribution=partial.cotangent)


def _reached_from(graph: GradGraph, node: int) -> set[int]:
    """The node and every other that a gradient can come to it from."""
    found = {node}
    pending = [node]
    while pending:
        for use in graph.uses_of(pending.pop()):
            head = use.edge[1]
            if use.partial is not None and head not in found:
                found.add(head)
                pending.append(head)
    return found


def _size(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor.detach())) if tensor.layout is torch.strided else float(tensor.norm())
