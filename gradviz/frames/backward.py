"""One backward pass, contribution by contribution: each moves one cotangent nearer to being settled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.errors import PartialError
from gradviz.explain.amounts import amount, amount_of, factor_of, is_written_out, loss_name, without_repeats
from gradviz.explain.terms import Derivative, Name, Product, Sentence, Term, total
from gradviz.explain.vjp import contribution
from gradviz.frames import sentences as say
from gradviz.frames.model import Frame, Place
from gradviz.graph import Edge, GradGraph, Use
from gradviz.view.summary import head_line, is_opaque


class BackwardPass:
    """What has arrived where, while contributions come in. Reads the graph and never changes it."""

    def __init__(self, graph: GradGraph, nodes: frozenset[int], step: int) -> None:
        self.graph = graph
        self.nodes = nodes
        self.step = step
        self.loss = loss_name(graph)
        self.uses = list(_uses_in_order(graph, nodes))
        self.expected = Counter([*graph.starting_cotangents(), *((use.edge[0], use.output) for use in self.uses)])
        self.arrived: dict[Place, list[Tensor]] = {}
        self.passed: set[Edge] = set()

    def frames(self) -> Iterator[Frame]:
        """The start, one frame for each contribution, and the gradients at the end."""
        for place, cotangent in self.graph.starting_cotangents().items():
            self.arrived.setdefault(place, []).append(cotangent)
        started = [self._amount(place, self.graph.starting_cotangents()[place]) for place in self.arrived]
        yield self._frame(say.starts(started), node=next(iter(self.arrived), (None, 0))[0])
        for use in self.uses:
            tail, _, _ = use.edge
            assert use.contribution is not None
            self.arrived.setdefault((tail, use.output), []).append(use.contribution)
            self.passed.add(use.edge)
            yield self._frame((*self._flow(use), *self._arrival((tail, use.output))), node=tail, edge=use.edge)
        yield self.last()

    def last(self) -> Frame:
        """Everything settled, and the gradients in one sentence."""
        leaves = {name: node for name, node in self.graph.leaves.items() if node in self.nodes}
        found = {name: self.graph.cotangent(node) for name, node in leaves.items()}
        reached = [self._amount((leaves[name], 0), gradient) for name, gradient in found.items() if gradient is not None]
        return Frame(
            step=self.step,
            phase="backward",
            sentence=say.gradients(reached, [name for name, gradient in found.items() if gradient is None]),
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
        name = self.graph.output_name(tail, use.output)
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
                return say.flows(self._amount((head, places[0]), cotangent), name, sides, amount(use.contribution))
        written = [contribution(self.graph, use, place, self._sign((head, place))) for place in places]
        term, shapes = total([one.term for one in written]), total([one.shapes for one in written])
        result: say.Amount = ()
        if not is_opaque(use.contribution) and use.contribution.numel():
            number = amount(use.contribution)
            result = say.gives(number) if is_written_out(use.contribution) else say.of_norm(number)
        return say.flows_as(self._sign((head, places[0])), name, term, shapes if _is_matrix_product(term) else None, result)

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


def _uses_in_order(graph: GradGraph, nodes: frozenset[int]) -> Iterator[Use]:
    """The edges that carried a contribution, in the order in which the engine ran their heads."""
    ran = [node for node in graph if node in nodes and graph.nodes[node]["backward_order"] is not None]
    for head in sorted(ran, key=lambda node: int(graph.nodes[node]["backward_order"])):
        yield from (use for use in graph.arguments_of(head) if use.contribution is not None and use.edge[0] in nodes)


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
