"""Between tensors: the backward pass written out, one vector-Jacobian product after the other, with shapes."""

from __future__ import annotations

import math
from functools import partial

from torch import Tensor

from gradviz.explain import sentences as say
from gradviz.explain.amounts import shape_word, shown, shown_of, without_repeats
from gradviz.explain.softmaxes import cross_entropy, general_rules
from gradviz.explain.terms import Applied, Derivative, Equation, Line, Name, Section, Term, total
from gradviz.explain.vjp import Written, contribution
from gradviz.explain.wanted import Wanted, limited


def backward_section(wanted: Wanted) -> Section:
    """The cotangents on the way, the output's first, each as the sum of what its users add."""
    nodes = wanted.graph.nodes
    places = [(node, place) for node in reversed(wanted.between) for place in nodes[node]["outputs"]]
    reached = [place for place in places if wanted.graph.cotangent(*place) is not None]
    lines = limited(reached, "step", partial(_step, wanted))
    how_complex: list[Line] = [say.complex_as_pairs(wanted.sign)] if wanted.is_complex else []
    return Section(heading=say.BACKWARD, lines=(*lines, *general_rules(wanted.graph, wanted.between), *how_complex))


def _step(wanted: Wanted, at: tuple[int, int]) -> Line | None:
    """The equation of the cotangent of one output of a node; None where it says nothing."""
    written = [*_started(wanted, *at), *_received(wanted, *at)]
    cotangent = wanted.graph.cotangent(*at)
    if not written or cotangent is None:
        return None
    sign = Derivative(Name(wanted.loss), Name(wanted.graph.output_name(*at)))
    sides: list[Term] = [sign, total([one.term for one in written]), *_in_one_piece(wanted, *at)]
    if shown_of(sign, cotangent)[0] == sign:
        sides.append(shown(cotangent))
    kept = without_repeats(sides)
    shapes = [one.shapes for one in written]
    return Equation(kept, shapes=_shapes(tuple(cotangent.shape), shapes)) if len(kept) > 1 else None


def _started(wanted: Wanted, node: int, place: int) -> list[Written]:
    """What the backward pass starts with here."""
    cotangent: Tensor | None = wanted.graph.starting_cotangents().get((node, place))
    if cotangent is None:
        return []
    name = Name(wanted.graph.output_name(node, place))
    term = shown(cotangent) if cotangent.numel() == 1 else Applied("grad_output", (name,))
    return [Written(term=term, shapes=shape_word(tuple(cotangent.shape)))]


def _received(wanted: Wanted, node: int, place: int) -> list[Written]:
    """What the users of this output on the way add."""
    graph = wanted.graph
    found = []
    for use in graph.uses_of(node):
        if use.output != place or use.partial is None or use.edge[1] not in wanted.between:
            continue
        for output in graph.partials_of(use.edge):
            if graph.cotangent(use.edge[1], output) is not None:
                head = Derivative(Name(wanted.loss), Name(graph.output_name(use.edge[1], output)))
                found.append(contribution(graph, use, output, head))
    return found


def _in_one_piece(wanted: Wanted, node: int, place: int) -> list[Term]:
    """What a lecturer writes for several steps at once: of a cross entropy, where its logits are read by nothing else."""
    uses = [use for use in wanted.graph.uses_of(node) if use.output == place and use.partial is not None]
    if len(uses) != 1 or (node, place) in wanted.graph.starting_cotangents():
        return []
    joined = cross_entropy(wanted.graph, uses[0], wanted.loss)
    return [] if joined is None else [joined]


def _shapes(shape: tuple[int, ...], terms: list[Term]) -> tuple[Term, ...]:
    """`[3, 2] = [3] [2]ᵀ`; () of one element, and where both sides have the same shape and nothing is multiplied."""
    own, written = shape_word(shape), total(terms)
    return () if written == own or math.prod(shape) == 1 else (own, written)
