"""The end of an explanation: the sum over the paths, beside autograd's gradient and sympy's closed form."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import sympy as sp
import torch

from gradviz.check import closed_form
from gradviz.errors import GradvizError
from gradviz.explain import sentences as say
from gradviz.explain.amounts import is_same, shown_of, without_repeats
from gradviz.explain.softmaxes import in_results
from gradviz.explain.terms import Derivative, Equation, Formula, Line, Name, Number, Section, Term, total
from gradviz.explain.wanted import Wanted
from gradviz.graph import GradGraph

ROUNDINGS = 64
"""How many rounding errors per node on the way are allowed between two ways to add the same numbers."""


def sum_section(wanted: Wanted, index: tuple[int, ...] | None) -> Section:
    """The gradient three times: from the paths, from autograd, from sympy; of a tensor from sympy one element.

    Args:
        wanted: the value, with its paths.
        index: the element, one place per axis; None for the first.
    """
    heading = say.SUM if wanted.paths.count > 1 else say.CHECKED
    return Section(heading=heading, lines=(sum_equation(wanted), _autograd(wanted), *_closed_form(wanted, index)))


def sum_equation(wanted: Wanted) -> Equation:
    """∂L/∂x = the contributions of the paths, added, = their sum; of larger tensors the norm."""
    paths = wanted.paths
    sign, number = shown_of(wanted.sign, paths.total)
    parts = [path.contribution for path in paths.top] + ([] if paths.rest is None else [paths.rest])
    digits = _digits(paths.cancellation)
    added: list[Term] = [total([Number(part.item(), digits) for part in parts])] if paths.total.numel() == 1 else []
    return Equation(without_repeats([sign, *added, number]))


def _digits(cancellation: float) -> int:
    """How many digits the terms of a sum need, so that its own can be seen.

    >>> _digits(1.0), _digits(1e6)
    (4, 10)
    """
    return min(4 + math.ceil(math.log10(cancellation)), 15) if 10 <= cancellation < math.inf else 4


def _autograd(wanted: Wanted) -> Line:
    """Whether the gradient that autograd found is this sum."""
    gradient, paths = wanted.paths.gradient, wanted.paths
    if gradient is None:
        return say.autograd_has_none()
    sign, number = shown_of(wanted.sign, gradient)
    if not gradient.numel():
        return say.same_as_autograd(sign, number)
    difference = float((paths.total - gradient).abs().max())
    largest = max([float(gradient.abs().max()), *(path.size for path in paths.top)])
    allowed = ROUNDINGS * torch.finfo(gradient.dtype).eps * len(wanted.between) * largest
    if not bool(torch.isfinite(gradient).all()):
        return say.autograd_is_not_finite(sign, number)
    if difference <= allowed:
        return say.same_as_autograd(sign, number)
    return say.not_as_autograd(sign, number, difference)


def _closed_form(wanted: Wanted, wished: tuple[int, ...] | None) -> Iterator[Line]:
    """sympy's own derivative of the output, for a leaf of a graph that is small enough; of a tensor, one element."""
    if wanted.graph.nodes[wanted.node]["kind"] != "leaf" or wanted.paths.gradient is None:
        return
    gradient = wanted.paths.gradient
    if not gradient.numel():
        return
    index = tuple(place % size for place, size in zip(wished or (0,) * gradient.ndim, gradient.shape, strict=True))
    if wanted.is_complex:
        yield say.not_composed("it is made for real numbers only")
        return
    try:
        found = closed_form(wanted.graph, wanted.name, index)
    except GradvizError as error:
        yield say.not_composed(str(error))
        return
    sign = Derivative(wanted.sign.head, Name(wanted.name, index))
    number = float(gradient[index])
    formula = in_results(found.formula, wanted.graph)
    formula = formula.xreplace(_elements_in(formula, wanted.graph))
    if found.kinks:
        yield say.on_kink(sign, Formula(formula), found.kinks)
        return
    true = Number(found.value)
    written: list[Term] = [] if is_same(formula, true) else [Formula(formula)]
    yield Equation(without_repeats([sign, *written, true]))
    if math.isnan(number):
        if not math.isnan(found.value):
            yield say.autograd_found_none(sign, true)
    elif not (abs(number - found.value) <= found.bound or number == found.value):
        yield say.contradicted(sign, Number(number), true)


def _elements_in(formula: sp.Expr, graph: GradGraph) -> dict[sp.Symbol, sp.Symbol]:
    """`W_0_1` -> `W[0, 1]`, as elements are written elsewhere; a leaf that is called `W_0_1` stays."""
    shapes = {name: graph.nodes[node]["shape"] for name, node in graph.leaves.items()}
    indices = [(name, index) for name, shape in shapes.items() if shape for index in product(*map(range, shape))]
    written = {"_".join([name, *map(str, index)]): f"{name}[{', '.join(map(str, index))}]" for name, index in indices}
    elements = [symbol for symbol in formula.free_symbols if symbol.name in written and symbol.name not in shapes]
    return {symbol: sp.Symbol(written[symbol.name]) for symbol in elements}
