"""d(output)/d(leaf element) of a composed graph as one formula that people can read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from gradviz.check.arrays import Index
from gradviz.check.composed import MAX_LEAF_ELEMENTS, Composed, composed_graph, is_small
from gradviz.check.failures import FAILURES, failure_reason
from gradviz.graph import GradGraph
from gradviz.symbolic import NoRule, formula_text
from gradviz.symbolic.differentiation import derivative
from gradviz.symbolic.formula import shown_number
from gradviz.symbolic.shifts import unshifted
from gradviz.symbolic.sigmoids import in_sigmoids

_OPERATIONS = 60
_FAR_TOO_MANY = 10 * _OPERATIONS
_LENGTH = 400
_LARGEST_DENOMINATOR = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedForm:
    """d(output)/d(leaf element), by sympy.

    Attributes:
        formula: in the elements of the leaves.
        value: what it is at their values.
        bound: how far rounding may take torch's number from it.
        kinks: names of the kinks that the leaves lie on: there the formula holds on one side only.
    """

    formula: sp.Expr
    value: float
    bound: float
    kinks: tuple[str, ...]


def closed_form(graph: GradGraph, leaf: str, index: Index) -> ClosedForm:
    """sympy's derivative of the output with respect to one element of a leaf, in elements named `x`, `W_0_1`.

    Raises:
        NoRule: the graph is too large, starts from weights or has a call without rule; the reason says which.
    """
    if not is_small(graph):
        raise NoRule(f"the leaves have more than {MAX_LEAF_ELEMENTS} elements together")
    try:
        composed = composed_graph(graph, list(graph.leaves), {})
    except FAILURES as error:
        raise NoRule(failure_reason(error)) from error
    expression = _single_output(composed)
    if expression is None:
        raise NoRule("the graph has several outputs, or weights, or is too long for one formula")
    shown = derivative_of(expression, _element_name(leaf, index))
    if shown is None:
        raise NoRule("the formula would be too long to read")
    row = composed.truth.vjp(composed.weights)
    exact = row.partial(list(graph.leaves).index(leaf), index)
    # evaluated step by step, 0 times the NaN of a branch that is not taken is NaN
    value = float(shown) if math.isnan(exact.value) and shown.is_Number else float(exact.value)
    return ClosedForm(formula=shown, value=value, bound=exact.bound, kinks=row.kinks)


def closed_form_text(composed: Composed, leaf: str, index: Index, shapes: Mapping[str, Index]) -> str:
    """The same as text, in elements written as `W[0, 1]`; "" where there is none, or it would be too long to read.

    Args:
        composed: the whole graph.
        leaf, index: the element with respect to which.
        shapes: of all leaves.
    """
    if composed.calls <= _OPERATIONS and not composed.weights:
        return "0"
    try:
        expression = _single_output(composed)
    except NoRule:
        return ""
    shown = None if expression is None else derivative_of(expression, _element_name(leaf, index))
    if shown is None or shown in (sp.nan, sp.zoo) or len(formula_text(shown)) > _LENGTH:
        return ""
    elements = [(one, place) for one, shape in shapes.items() for place in np.ndindex(*shape) if place]
    names = {_element_name(one, place): f"{one}{list(place)}" for one, place in elements}
    indexed = {symbol: sp.Symbol(names[symbol.name], real=True) for symbol in shown.free_symbols if symbol.name in names}
    return formula_text(shown.xreplace(indexed))


def _element_name(leaf: str, index: Index) -> str:
    return "_".join([leaf, *map(str, index)])


def _single_output(composed: Composed) -> sp.Expr | None:
    """The one output that the backward pass starts from with 1; None where there is no such.

    Raises:
        NoRule: it cannot be written out; the reason says why.
    """
    if composed.calls > _OPERATIONS or list(composed.weights.values()) != [1]:
        return None
    slot, place = next(iter(composed.weights))
    output = composed.truth.outputs[slot]
    return None if output is None else output.expression(place)


@lru_cache(maxsize=512)
def derivative_of(expression: sp.Expr, symbol: str) -> sp.Expr | None:
    """An expression's derivative, simplified as people write it; None where nobody could read it."""
    if _is_large(expression) or sp.count_ops(expression) > _OPERATIONS:
        return None
    plain = expression.replace(_is_joined, _joined).replace(_is_extreme, _extreme)
    slope = derivative(plain, sp.Symbol(symbol, real=True)).replace(sp.Heaviside, _bracket)
    if slope.has(sp.ITE):  # conditions within conditions: nobody could read them
        return None
    return in_sigmoids(unshifted(slope)).replace(
        lambda node: node.is_Rational and node.q > _LARGEST_DENOMINATOR, lambda number: shown_number(float(number))
    )


def _is_large(expression: sp.Expr) -> bool:
    """Whether there is no need to count the operations, which are at least the parts that are no symbol or number.

    What a loop has made of its own results has few parts, but each in many places: counting to the end may take hours.
    """
    parts = (part for part in sp.preorder_traversal(expression) if part.args)
    return next(itertools.islice(parts, _FAR_TOO_MANY, None), None) is not None


def _is_joined(node: Any) -> bool:
    """`a <= z if c else b <= z`, which sympy makes of a comparison with a piecewise function."""
    if not isinstance(node, sp.ITE):
        return False
    _, first, second = node.args
    return isinstance(first, (sp.Ge, sp.Le)) and type(first) is type(second) and first.rhs == second.rhs


def _joined(node: sp.ITE) -> Any:
    """The comparison with the piecewise function, where that is a maximum or minimum."""
    condition, first, second = node.args
    inner = sp.Piecewise((first.lhs, condition), (second.lhs, True))
    return type(first)(_extreme(inner), first.rhs) if _is_extreme(inner) else node


def _is_extreme(node: Any) -> bool:
    """`a if a >= b else b`, or with `<=`."""
    if not isinstance(node, sp.Piecewise) or len(node.args) != 2:
        return False
    (first, condition), (second, last) = node.args
    sides = {first, second}
    return last == sp.true and isinstance(condition, (sp.Ge, sp.Le)) and {condition.lhs, condition.rhs} == sides


def _extreme(node: sp.Piecewise) -> sp.Expr:
    """The same as sympy's Max or Min, whose derivative has no nested conditions."""
    (first, condition), (second, _) = node.args
    is_maximum = isinstance(condition, sp.Ge) == (condition.lhs == first)
    return (sp.Max if is_maximum else sp.Min)(first, second)


def _bracket(argument: sp.Expr, *at_zero: sp.Expr) -> sp.Expr:
    """Heaviside(y - x) as [x < y] + [x = y]/2, which is what torch takes; [x ≤ y] beside a number, as clamp takes it."""
    negative = [term for term in sp.Add.make_args(argument) if term.could_extract_minus_sign()]
    left, right = -sp.Add(*negative), argument - sp.Add(*negative)
    if not left.free_symbols or not right.free_symbols:
        return sp.Piecewise((1, sp.Le(left, right)), (0, True))
    return sp.Piecewise((1, sp.Lt(left, right)), (0, True)) + sp.Piecewise((1, sp.Eq(left, right)), (0, True)) / 2
