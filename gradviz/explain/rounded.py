"""Numbers that rounding alone may have made: sin(2π) is −2.449e−16, since 2π is not a float.

How far rounding may have moved a value is followed from node to node: what its arguments may be off by, times the local
partials, and one rounding of its own. What the user gave counts as exact. Only values of a single real number are followed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import sympy as sp
import torch

from gradviz.graph import GradGraph, Use
from gradviz.standin import is_kept

SLACK = 2.0
"""Constants that are written in decimals are rounded, too."""
MOST_NODES = 1000
"""In a larger graph nothing is followed."""


def _is_exact(node: Mapping[str, Any]) -> bool:
    """Whether it only changes the sign, or multiplies or divides by a number that is a power of two."""
    call = node["call"]
    if call is None or call.op not in ("neg", "mul", "div"):
        return False
    factors = [value for value in call.args[1:] if isinstance(value, (int, float))]
    return call.op == "neg" or any(math.isfinite(factor) and abs(math.frexp(factor)[0]) == 0.5 for factor in factors)


class Rounded:
    """How far the values of a graph may be off."""

    def __init__(self, graph: GradGraph) -> None:
        self._graph = graph
        self._off: dict[int, float] = {}
        for node in graph if graph.number_of_nodes() <= MOST_NODES else ():
            value = self._value(node)
            if value is not None and graph.nodes[node]["kind"] == "op":
                moved = [self._moved(use) for use in graph.arguments_of(node)]
                own = 0.0 if _is_exact(graph.nodes[node]) else abs(value) * torch.finfo(graph.nodes[node]["dtype"]).eps / 2
                self._off[node] = own + sum(off for off in moved if math.isfinite(off))

    def is_zero(self, node: int) -> bool:
        """Whether a value is zero but for what rounding may have made of it."""
        value = self._value(node)
        return value is not None and 0 < abs(value) < math.inf and abs(value) <= SLACK * self._off.get(node, 0.0)

    def is_zero_partial(self, use: Use) -> bool:
        """The same of a local partial with a formula in values that are followed."""
        formula = None if use.partial is None else use.partial.formula
        if use.partial is None or not isinstance(formula, sp.Expr) or not formula.free_symbols or not self._off:
            return False
        if not 0 < abs(float(use.partial)) < math.inf:
            return False
        nodes = {str(self._graph.nodes[node]["name"]): node for node in self._off}
        followed = {symbol: nodes[symbol.name] for symbol in formula.free_symbols if symbol.name in nodes}
        at = {symbol: self._value(node) for symbol, node in followed.items()} | self._exact(formula)
        if len(at) < len(formula.free_symbols):
            return False
        slopes = {node: sp.diff(formula, symbol).subs(at) for symbol, node in followed.items()}
        off = sum(abs(float(slope)) * self._off[node] for node, slope in slopes.items() if slope.is_finite)
        return abs(float(use.partial)) <= SLACK * off

    def _exact(self, formula: sp.Expr) -> dict[sp.Symbol, float]:
        """Those of its symbols that stand for what the user gave, and their values."""
        given = {str(attributes["name"]): node for node, attributes in self._graph.nodes(data=True) if node not in self._off}
        found = {symbol: self._value(given[symbol.name]) for symbol in formula.free_symbols if symbol.name in given}
        return {symbol: value for symbol, value in found.items() if value is not None}

    def _moved(self, use: Use) -> float:
        off = self._off.get(use.edge[0], 0.0)
        return off * abs(float(use.partial)) if off and use.partial is not None else 0.0

    def _value(self, node: int) -> float | None:
        value = self._graph.nodes[node]["value"]
        if not isinstance(value, torch.Tensor) or not is_kept(value) or value.numel() != 1:
            return None
        return float(value) if value.is_floating_point() and value.layout is torch.strided else None
