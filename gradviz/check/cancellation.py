"""Where digits were lost: the difference of nearly equal numbers in a formula, or in a graph."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
import torch

from gradviz.check.arrays import as_array
from gradviz.graph import GradGraph
from gradviz.standin import is_kept
from gradviz.symbolic import formula_text

_LARGEST_FORMULA = 60
_AT_LEAST = 2.0**6
"""A sum that is so many times smaller than its terms has lost two digits."""


def lost_in_formula(formula: sp.Basic, numbers: Mapping[str, float]) -> str:
    """The sum in the formula that cancels most at these numbers; "" where none does.

    >>> c = sp.Symbol("c")
    >>> lost_in_formula(1 - c**2, {"c": 0.999999})
    '1 - c², where 1 - 0.999998 leaves 2e-06'
    """
    if sp.count_ops(formula) > _LARGEST_FORMULA:
        return ""
    at = {symbol: numbers.get(symbol.name, math.nan) for symbol in formula.free_symbols}
    worst, found = _AT_LEAST, ""
    for part in sp.preorder_traversal(formula):
        if not isinstance(part, sp.Add):
            continue
        terms = [_number(term, at) for term in part.args]
        loss = _loss(terms)
        if loss > worst:
            worst, found = loss, f"{formula_text(part)}, where {_written(terms)}"
    return found


def lost_in_graph(graph: GradGraph) -> str:
    """The sum that cancels most among a graph's additions and among its sums of contributions; "" where none does."""
    starting = graph.starting_cotangents()
    worst, found = _AT_LEAST, ""
    for node, attributes in graph.nodes(data=True):
        where = f" ({attributes['source']})" if attributes["source"] else ""
        if attributes["op"] in ("add", "sub", "rsub") and not isinstance(attributes["value"], tuple):
            arguments = _terms(graph, node)
            loss, text = _lost_between(attributes["value"], arguments)
            if loss > worst:
                worst, found = loss, f"{attributes['name']} = {attributes['expression']}{where}, where {text}"
        for place in attributes["outputs"] or ():
            terms = [use.contribution for use in graph.uses_of(node) if use.output == place]
            loss, text = _lost_between(graph.cotangent(node, place), [*terms, starting.get((node, place))])
            if loss > worst:
                worst, found = loss, f"the sum of contributions into {graph.output_name(node, place)}, where {text}"
    return found


def _terms(graph: GradGraph, node: int) -> list[Any]:
    """What an addition adds: tensors and numbers."""
    call = graph.nodes[node]["call"]
    values = [graph.value(use.edge[0], use.output) for use in graph.arguments_of(node)]
    numbers = [] if call is None else [value for value in call.args if isinstance(value, (int, float))]
    return [*values, *(torch.tensor(float(number), dtype=torch.float64) for number in numbers)]


def _lost_between(result: Any, terms: list[Any]) -> tuple[float, str]:
    """How much larger the terms are than their sum, at the worst element, and the numbers there."""
    if not all(is_kept(one) for one in (result, *terms) if one is not None):
        return 0.0, ""
    arrays = [as_array(term) for term in terms if term is not None and not term.is_complex()]
    if result is None or result.is_complex() or len(arrays) < 2 or not result.numel():
        return 0.0, ""
    total = as_array(result)
    arrays = [np.broadcast_to(array, total.shape) for array in arrays]
    with np.errstate(all="ignore"):
        losses = np.max(np.abs(arrays), axis=0) / np.abs(total)
    losses = np.where(np.isnan(losses), 0.0, losses)
    place = np.unravel_index(int(losses.argmax()), losses.shape)
    numbers = [f"{float(array[place]):.6g}" for array in arrays]
    return float(losses[place]), f"terms of {' and '.join(numbers)} leave {float(total[place]):.6g}"


def _loss(terms: list[float]) -> float:
    largest = max(map(abs, terms))
    if not math.isfinite(largest) or not largest:
        return 0.0
    total = abs(sum(terms))
    return largest / total if total else math.inf


def _written(terms: list[float]) -> str:
    ordered = sorted(terms, reverse=True)
    text = f"{ordered[0]:.6g}" + "".join(f" {'-' if term < 0 else '+'} {abs(term):.6g}" for term in ordered[1:])
    return f"{text} leaves {sum(terms):.6g}"


def _number(part: sp.Basic, at: Mapping[Any, float]) -> float:
    try:
        return float(part.subs(at).evalf(30))
    except (TypeError, ValueError):
        return math.nan
