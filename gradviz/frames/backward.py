"""One backward pass, contribution by contribution: each moves one cotangent nearer to being settled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import groupby

import torch
from torch import Tensor

from gradviz.errors import PartialError
from gradviz.explain.amounts import amount, amount_of, factor_of, is_written_out, loss_name, without_repeats
from gradviz.explain.terms import Derivative, Name, Product, Sentence, Term, total
from gradviz.explain.vjp import contribution
from gradviz.frames import sentences as say
from gradviz.frames.model import Frame, Place
from gradviz.frames.scene import Scene
from gradviz.graph import Edge, GradGraph, Use
from gradviz.view.summary import head_line, is_opaque


class BackwardPass:
    """What has arrived where, while contributions come in. Reads the graph and never changes it."""

    def __init__(self, graph: GradGraph, scene: Scene, step: int) -> None:
        self.graph = graph
        self.scene = scene
        self.nodes = scene.nodes
        self.group_of = {node: place for place, group in scene.groups.items() for node in group.nodes}
        self.names = {node.node: node.name for node in scene.view.nodes}
        self.step = step
        self.loss = loss_name(graph)
        uses = [use for use in _uses_in_order(graph) if use.edge[0] in self.nodes]
        self.uses = [use for use in uses if use.edge[1] in self.nodes]
        self.outside: dict[Place, Tensor] = {}
        for use in uses:
            if use.edge[1] not in self.nodes and use.contribution is not None:
                place = (use.edge[0], use.output)
                self.outside[place] = self.outside[place] + use.contribution if place in self.outside else use.contribution
        self.starting = {place: one for place, one in graph.starting_cotangents().items() if place[0] in self.nodes}
        self.expected = Counter([*self.starting, *self.outside, *((use.edge[0], use.output) for use in self.uses)])
        self.arrived: dict[Place, list[Tensor]] = {}
        self.passed: set[Edge] = set()

    def frames(self) -> Iterator[Frame]:
        """The start, one frame for each contribution, and the gradients at the end."""
        for begin, sentence in ((self.starting, say.starts), (self.outside, say.arrives_from_outside)):
            for place, cotangent in begin.items():
                self.arrived.setdefault(place, []).append(cotangent)
            if begin:
                amounts = [self._amount(place, cotangent) for place, cotangent in begin.items()]
                yield self._frame(sentence(amounts), node=self._drawn(next(iter(begin))[0]))
        for group, uses in groupby(self.uses, key=lambda use: self.group_of.get(use.edge[1])):
            if group is not None:
                yield self._through(group, list(uses))
                continue
            for use in uses:
                place = self._received(use)
                yield self._frame((*self._flow(use), *self._arrival(place)), node=self._drawn(place[0]), edge=use.edge)
        yield self.last()

    def _received(self, use: Use) -> Place:
        """Adds what an edge carries to its tail."""
        assert use.contribution is not None
        place = (use.edge[0], use.output)
        self.arrived.setdefault(place, []).append(use.contribution)
        self.passed.add(use.edge)
        return place

    def _through(self, number: int, uses: list[Use]) -> Frame:
        """All that goes on inside a group, and out of it, until something outside of it goes on."""
        places = dict.fromkeys(map(self._received, uses))
        complete = [place for place in places if len(self.arrived[place]) == self.expected[place]]
        inside = [node for node, _ in complete if self.group_of.get(node) == number]
        leaves = [node for node in inside if self.graph.nodes[node]["kind"] == "leaf"]
        drawn = [self._sign(place) for place in complete if place[0] not in self.group_of]
        told = say.passes_through(self.names[number], self.scene.groups[number].gradient, len(leaves))
        return self._frame((*told, *say.completes(drawn)), node=number)

    def _drawn(self, node: int) -> int:
        """The number of what is drawn of a node: its own, or that of its group."""
        return self.group_of.get(node, node)

    def _name(self, place: Place) -> str:
        """What a place is called, with the group that it is inside."""
        name = self.graph.output_name(*place)
        return say.inside(name, self.names[self.group_of[place[0]]]) if place[0] in self.group_of else name

    def last(self) -> Frame:
        """Everything settled, and the gradients in one sentence."""
        leaves = {name: node for name, node in self.graph.leaves.items() if node in self.nodes}
        found = {name: self.graph.cotangent(node) for name, node in leaves.items()}
        reached = [self._amount((leaves[name], 0), gradient) for name, gradient in found.items() if gradient is not None]
        return Frame(
            step=self.step,
            phase="backward",
            sentence=say.no_leaf()
            if self.graph.leaves and not leaves
            else say.gradients(reached, [name for name, gradient in found.items() if gradient is None]),
            values=self.nodes,
            pending={},
            settled=frozenset(self.expected),
            passed=frozenset(use.edge for use in self.uses),
        )

    def _frame(self, sentence: Sentence, node: int | None, edge: Edge | None = None) -> Frame:
        settled = frozenset(place for place, parts in self.arrived.items() if len(parts) == self.expected[place])
        return Frame(
            step=self.step,
            phase="backward",
            sentence=sentence,
            values=self.nodes,
            pending={place: _sum(parts) for place, parts in self.arrived.items() if place not in settled},
            settled=settled,
            passed=frozenset(self.passed),
            node=node,
            edge=edge,
        )

    def _sign(self, place: Place) -> Derivative:
        return Derivative(Name(self.loss), Name(self.graph.output_name(*place)))

    def _amount(self, place: Place, cotangent: Tensor) -> say.Amount:
        """`∂d/∂x = 3`, `‖∂d/∂x‖ = 3`, or the sign and what describes the tensor."""
        sign = self._sign(place)
        if is_opaque(cotangent):
            return (sign, f": {head_line(cotangent)}")
        equal, number = amount_of(sign, cotangent)
        return (equal, " = ", number)

    def _flow(self, use: Use) -> Sentence:
        """What goes along one edge: numbers where there are two single numbers, else the vector-Jacobian product."""
        tail, head, _ = use.edge
        name, where = self.graph.output_name(tail, use.output), self._name((tail, use.output))
        partials = self.graph.partials_of(use.edge)
        places = [place for place in partials if self.graph.cotangent(head, place) is not None]
        assert use.partial is not None and use.contribution is not None
        sizes = (math.prod(use.partial.in_shape), math.prod(use.partial.out_shape))
        if len(partials) == 1 and sizes == (1, 1) and not is_opaque(use.contribution):
            cotangent = self.graph.cotangent(head, places[0])
            try:
                factor = without_repeats(list(factor_of(use)))
            except PartialError:
                factor = ()  # autograd cannot be asked any more: the product is written without numbers
            if cotangent is not None and factor:
                derivative = Derivative(Name(self.graph.output_name(head, places[0])), Name(name))
                sides = (derivative, *(part for side in factor for part in (" = ", side)))
                return say.flows(self._amount((head, places[0]), cotangent), where, sides, amount(use.contribution))
        written = [contribution(self.graph, use, place, self._sign((head, place))) for place in places]
        term, shapes = total([one.term for one in written]), total([one.shapes for one in written])
        result: say.Amount = ()
        if not is_opaque(use.contribution) and use.contribution.numel():
            number = amount(use.contribution)
            result = say.gives(number) if is_written_out(use.contribution) else say.of_norm(number)
        return say.flows_as(self._sign((head, places[0])), where, term, shapes if _is_matrix_product(term) else None, result)

    def _arrival(self, place: Place) -> say.Amount:
        """How far the cotangent at the end of an edge has come."""
        parts, count = self.arrived[place], self.expected[place]
        if len(parts) < count:
            return say.more_to_come(count - len(parts))
        sign, cotangent = self._sign(place), self.graph.cotangent(*place)
        hooked = cotangent is not None and not _is_sum(parts, cotangent)
        if hooked or count == 1:
            return say.changed_by_hook(sign) if hooked else say.is_all(sign)
        if cotangent is None or cotangent.numel() != 1 or is_opaque(cotangent):
            return say.added_up_tensors(sign, count)
        terms: list[Term] = [amount(part) for part in parts]
        return say.added_up(sign, terms, amount(cotangent))


def _uses_in_order(graph: GradGraph) -> Iterator[Use]:
    """The edges that carried a contribution, in the order in which the engine ran their heads."""
    ran = [node for node in graph if graph.nodes[node]["backward_order"] is not None]
    for head in sorted(ran, key=lambda node: int(graph.nodes[node]["backward_order"])):
        yield from (use for use in graph.arguments_of(head) if use.contribution is not None)


def _is_matrix_product(term: Term) -> bool:
    """Whether the shapes of the factors tell something."""
    return isinstance(term, Product) and term.how == "matrix"


def _sum(parts: list[Tensor]) -> Tensor:
    """What the engine has added up so far."""
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return found


def _is_sum(parts: list[Tensor], cotangent: Tensor) -> bool:
    """Whether a settled cotangent is what arrived, to rounding."""
    found = _sum(parts)
    if is_opaque(found) or is_opaque(cotangent) or found.shape != cotangent.shape:
        return True  # a hook may not change the shape; what cannot be read is not judged
    wide = torch.complex128 if cotangent.is_complex() else torch.float64
    sizes = [part[torch.isfinite(part)].abs() for part in parts]
    scale = max((float(size.max()) for size in sizes if size.numel()), default=0.0)
    tolerance = 8 * len(parts) * torch.finfo(cotangent.dtype).eps * scale
    return torch.allclose(found.to(wide), cotangent.to(wide), rtol=1e-12, atol=tolerance, equal_nan=True)
