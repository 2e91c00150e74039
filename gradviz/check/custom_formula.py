"""The derivative of a custom Function's forward as a formula: what its backward should be, for a report to tell."""

from __future__ import annotations

from collections.abc import Collection

import sympy as sp
from torch import Tensor

from gradviz.check.closed_formula import derivative_of
from gradviz.check.failures import FAILURES
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.graph import GradGraph
from gradviz.opcall import is_inexact
from gradviz.symbolic import compose, formula_text, method_of

_CALLS = 20
_LENGTH = 120


def custom_formula(head: HeadUnderCheck, edge: EdgeUnderCheck, graph: GradGraph) -> str:
    """The partial in the names of the graph; "" where it is none of single numbers, or none that is short enough to read.

    What is elementwise on tensors of one shape is written as one of numbers, as torch's own functions are.
    """
    snapshots, names = head.attributes["inner_inputs"], graph.argument_names(head.node)
    if not 0 < len(head.inner_calls) <= _CALLS or len(snapshots) != len(names) or head.left_torch:
        return ""
    named = {name: one for one, name in zip(snapshots, names, strict=True) if one is not None and is_inexact(one)}
    own = names[edge.position]
    try:
        (output,) = head.made_inside().values()
        if own not in named or not _is_of_numbers(head, list(named.values()), output):
            return ""
        truth = compose(head.inner_calls, list(named.values()), [output], names=list(named))
        made, place = truth.outputs[0], (0,) * output.ndim
        symbols = {name: "_".join([name, *map(str, (0,) * one.ndim)]) for name, one in named.items()}
        shown = None if made is None else derivative_of(made.expression(place), symbols[own])
    except FAILURES:  # why the forward cannot be followed is said of the edge
        return ""
    if shown is None:
        return ""
    told = formula_text(shown.xreplace({sp.Symbol(long, real=True): sp.Symbol(name) for name, long in symbols.items()}))
    return told if len(told) <= _LENGTH else ""


def _is_of_numbers(head: HeadUnderCheck, given: Collection[Tensor], output: Tensor) -> bool:
    """Whether one element stands for all: there is one only, or forward is elementwise in what it is given."""
    if output.numel() == 1 and all(one.numel() == 1 for one in given):
        return True
    known = {id(one) for one in given}
    for call in head.inner_calls:
        read = [argument.tensor for argument in call.tensor_arguments()]
        if method_of(call.overload) != "pointwise" or not all(id(one) in known for one in read):
            return False
        known |= {id(one) for one in call.outputs if one is not None}
    return all(one.shape == output.shape for one in given) and output.numel() > 0
