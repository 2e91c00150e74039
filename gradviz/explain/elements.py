"""One element of a tensor, its gradient written out as scalars: which elements it enters, and with which partials.

The elements that it enters have gradients of their own, so the equations go on from there until the output is reached.
Where many terms are added the largest are written, and the others stand as one number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp
import torch
from sympy.core.function import AppliedUndef
from torch import Tensor

from gradviz.check import FAILURES
from gradviz.errors import InputError
from gradviz.explain import sentences as say
from gradviz.explain.amounts import without_repeats
from gradviz.explain.softmaxes import element_partial
from gradviz.explain.terms import (
    Derivative,
    Equation,
    Formula,
    Line,
    Name,
    Number,
    Product,
    Section,
    Term,
    Words,
    product,
    total,
)
from gradviz.explain.text import term_text
from gradviz.explain.vjp import is_by_element
from gradviz.explain.wanted import Wanted
from gradviz.graph import Use
from gradviz.opcall import OpCall
from gradviz.symbolic import compose
from gradviz.symbolic.shifts import unshifted

Index = tuple[int, ...]
Element = tuple[int, int, Index]
"""(node, output, index)"""
MAX_TERMS = 4
MAX_EQUATIONS = 24
MAX_FORMULA = 20
"""How many operations a formula may have."""
MAX_SYMBOLS = 400
"""Above this many input elements a call is not written in symbols: its partials are given as numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    """One way on from an element: to which element, with which partial."""

    head: Element
    use: Use
    partial: float
    cotangent: float

    @property
    def contribution(self) -> float:
        return self.partial * self.cotangent


def element_section(wanted: Wanted, index: Index) -> Section:
    """The equations for one element of the wanted value.

    Raises:
        InputError: the index does not fit the value, or complex numbers are on the way.
    """
    if wanted.is_complex:
        raise InputError(f"complex numbers lead from {wanted.name!r} to the output; accepted with an index: real ones only")
    shape = wanted.shape(wanted.node)
    if len(index) != len(shape) or not all(-size <= place < size for place, size in zip(index, shape, strict=True)):
        raise InputError(f"index {index} does not fit {wanted.name!r}, which has shape {shape}; give one place per axis")
    start = tuple(place % size for place, size in zip(index, shape, strict=True))
    pending: list[Element] = [(wanted.node, wanted.graph.nodes[wanted.node]["outputs"][0], start)]
    lines: list[Line] = []
    for element in pending:
        if len(lines) == MAX_EQUATIONS:
            lines.append(say.not_followed(len(pending) - MAX_EQUATIONS))
            break
        terms = _terms(wanted, element)
        lines.append(_equation(wanted, element, terms))
        pending += [term.head for term in terms[:MAX_TERMS] if term.partial and term.head not in pending]
    return Section(heading=say.ELEMENT, lines=tuple(lines))


def _terms(wanted: Wanted, element: Element) -> list[_Term]:
    """What each element that reads this one adds to its gradient: the largest first, in their order, then the others."""
    node, place, index = element
    found = []
    for use in wanted.graph.uses_of(node):
        if use.output != place or use.partial is None or use.edge[1] not in wanted.between:
            continue
        for output, partial in wanted.graph.partials_of(use.edge).items():
            cotangent = wanted.graph.cotangent(use.edge[1], output)
            if cotangent is None:
                continue
            tangent = torch.zeros(partial.in_shape, dtype=torch.float64)
            tangent[index] = 1
            column = partial.jvp(tangent)
            reading = column.nonzero().tolist()
            if not reading and partial.in_shape == partial.out_shape:  # a function that is flat here, as a ReLU that is off
                reading = [index]
            for reached in map(tuple, reading):
                numbers = float(column[reached]), float(cotangent[reached])
                found.append(_Term(head=(use.edge[1], output, reached), use=use, partial=numbers[0], cotangent=numbers[1]))
    found.sort(key=lambda term: -abs(term.contribution))
    return [*sorted(found[:MAX_TERMS], key=lambda term: (term.use.edge, term.head)), *found[MAX_TERMS:]]


def _equation(wanted: Wanted, element: Element, terms: list[_Term]) -> Equation:
    sign = _sign(wanted, element)
    start = _start(wanted, element)
    shown, others = terms[:MAX_TERMS], terms[MAX_TERMS:]
    partials = [_formula(wanted, element, term) for term in shown]
    signs: list[Term] = [
        *start,
        *(product([_sign(wanted, term.head), _partial_sign(wanted, element, term)]) for term in shown),
    ]
    formulas: list[Term] = [
        *start,
        *(product([_sign(wanted, term.head), written]) for term, written in zip(shown, partials, strict=True)),
    ]
    numbers: list[Term] = [*start, *(_numbers(term, written) for term, written in zip(shown, partials, strict=True))]
    if others:
        rest = Number(math.fsum(term.contribution for term in others))
        named = Words(say.other_terms(len(others), term_text(rest)))
        signs.append(named)
        formulas.append(named)
        numbers.append(rest)
    node, place, index = element
    cotangent = wanted.graph.cotangent(node, place)
    result = [] if cotangent is None else [Number(float(cotangent[index]))]
    sides = [sign, *(total(side) for side in (signs, formulas, numbers) if side), *result]
    return Equation(without_repeats(sides), remark="" if start or terms else say.UNREAD)


def _numbers(term: _Term, written: Term) -> Term:
    """The cotangent times the partial, and a 1 too where what stands for it is written."""
    factors = (Number(term.cotangent), Number(term.partial))
    return product(factors) if written in (Number(1.0), Formula(sp.S.One)) else Product(factors)


def _start(wanted: Wanted, element: Element) -> list[Term]:
    """What the backward pass starts with at this element."""
    node, place, index = element
    started: Tensor | None = wanted.graph.starting_cotangents().get((node, place))
    return [] if started is None else [Number(float(started[index]))]


def _sign(wanted: Wanted, element: Element) -> Derivative:
    return Derivative(Name(wanted.loss), _name(wanted, element))


def _partial_sign(wanted: Wanted, element: Element, term: _Term) -> Derivative:
    return Derivative(_name(wanted, term.head), _name(wanted, element))


def _name(wanted: Wanted, element: Element) -> Name:
    node, place, index = element
    return Name(wanted.graph.output_name(node, place), index)


def _formula(wanted: Wanted, element: Element, term: _Term) -> Term:
    """The partial between two elements in symbols, where the call is small and has a rule; else its number.

    What the other sections write for all elements is written for this one.
    """
    number = Number(term.partial)
    call: OpCall | None = wanted.graph.nodes[term.head[0]]["call"]
    if call is None:
        return number
    written_in_results = element_partial(wanted.graph, term.head[0], term.head[2], element[2])
    if (formula := written_in_results or _same_formula(wanted, element, term)) is not None:
        return number if formula.is_number else Formula(formula)
    inputs = {one.position: one.tensor for one in call.tensor_arguments() if one.tensor.is_floating_point()}
    output = call.outputs[term.head[1]]
    is_small = sum(tensor.numel() for tensor in inputs.values()) <= MAX_SYMBOLS
    if output is None or not is_small or len({id(tensor) for tensor in inputs.values()}) < len(inputs):
        return number
    symbols = {f"v{position}": wanted.graph.argument_names(term.head[0])[position] for position in inputs}
    try:
        written = compose([call], list(inputs.values()), [output], names=list(symbols)).outputs[0]
        if written is None:
            return number
        derivative = unshifted(sp.diff(written.expression(term.head[2]), _symbol(f"v{term.use.edge[2]}", element[2])))
    except FAILURES:  # no rule, or none that can be written in symbols: the number is true all the same
        return number
    if derivative.is_number or sp.count_ops(derivative) > MAX_FORMULA:
        return number
    return Formula(derivative.xreplace(_readable(derivative, symbols)))


def _same_formula(wanted: Wanted, element: Element, term: _Term) -> sp.Expr | None:
    """The formula of the edge for one element; None where it is that of a whole matrix, or speaks of several elements."""
    graph, (head, output, reached) = wanted.graph, term.head
    assert term.use.partial is not None
    formula = term.use.partial.formula if len(graph.nodes[head]["outputs"]) == 1 else None
    if not isinstance(formula, sp.Expr) or not is_by_element(graph.nodes[head]["call"]) or formula.has(AppliedUndef):
        return None
    result, arguments = graph.output_name(head, output), graph.arguments_of(head)
    values = {graph.output_name(one.edge[0], one.output): graph.value(one.edge[0], one.output) for one in arguments}
    is_reduction = math.prod(term.use.partial.out_shape) < math.prod(term.use.partial.in_shape)
    written = {}
    for symbol in formula.free_symbols:
        value = values.get(symbol.name)
        place = reached if symbol.name == result else _aligned(element[2] if is_reduction else reached, value)
        if place is None:
            return None
        written[symbol] = sp.Symbol(symbol.name + (f"[{', '.join(map(str, place))}]" if place else ""))
    return formula.xreplace(written)


def _aligned(place: Index, value: Tensor | None) -> Index | None:
    """Where a value that is broadcast to some shape is read at a place of that shape; None where it is not known."""
    if value is None or value.ndim > len(place):
        return None
    own = place[len(place) - value.ndim :]
    return tuple(at if size > 1 else 0 for at, size in zip(own, value.shape, strict=True))


def _symbol(name: str, index: Index) -> sp.Symbol:
    return sp.Symbol("_".join([name, *map(str, index)]), real=True)


def _readable(expression: sp.Expr, names: Mapping[str, str]) -> dict[sp.Symbol, sp.Symbol]:
    """`v0_1_2` -> `W[1, 2]`"""
    found = {}
    for symbol in expression.free_symbols:
        plain, *index = symbol.name.split("_")
        found[symbol] = sp.Symbol(names[plain] + (f"[{', '.join(index)}]" if index else ""))
    return found
