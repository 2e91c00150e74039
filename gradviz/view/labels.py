"""The attributes of one node or edge of the graph -> what is written on it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import networkx as nx
from torch import Tensor

from gradviz.errors import PartialError
from gradviz.signs import MINUS, with_minus_signs
from gradviz.view.calls import call_text
from gradviz.view.model import Role
from gradviz.view.notation import FORMULA_LENGTH, NAME_LENGTH, derivative_text, number_text, shape_text, shorten
from gradviz.view.summary import cotangent_text, head_line, value_lines

Attributes = Mapping[str, Any]
_NUMBER = re.compile(rf"{MINUS}?\d+(\.\d*)?(e[{MINUS}+-]?\d+)?")


def role_of(attributes: Attributes) -> Role:
    """What a node is on the picture: an output first, then its kind."""
    role: Role = "output" if attributes["is_output"] else attributes["kind"]
    return role


def output_name(attributes: Attributes, output: int) -> str:
    """The name of the value that runs along an edge: of several results of one call, each has its own."""
    return str(attributes["output_names"][output] if _has_several(attributes) else attributes["name"])


def value_text(attributes: Attributes) -> tuple[str, ...]:
    """The lines that describe a node's value, or say why it is not known; none where its name says it, as in `2`."""
    value = attributes["value"]
    if value is None:
        return (f"value unknown: {shorten(attributes['value_missing'], FORMULA_LENGTH)}",)
    if isinstance(value, Tensor):
        lines = value_lines(value)
        return () if _is_number(attributes["name"], lines) else lines
    used = [(place, value[place]) for place in attributes["outputs"] if value[place] is not None]
    return tuple(f"{output_name(attributes, place)}{_short_value(one)}" for place, one in used)


def cotangent_line(attributes: Attributes, output_of_graph: str) -> str:
    """The cotangent under its name, "no gradient" where none came, "" where none can.

    Args:
        attributes: of the node.
        output_of_graph: the name in `∂d/∂c`; "" where the cotangents are not derivatives of one number.
    """
    if not attributes["requires_grad"]:
        return ""
    cotangent = attributes["cotangent"]
    if not _has_several(attributes):
        return "no gradient" if cotangent is None else _one_cotangent(cotangent, attributes["name"], output_of_graph)
    parts = [
        _one_cotangent(cotangent[place], output_name(attributes, place), output_of_graph)
        for place in attributes["outputs"]
        if cotangent is not None and cotangent[place] is not None
    ]
    return "   ".join(parts[:3]) + (" …" if len(parts) > 3 else "") if parts else "no gradient"


def call_line(attributes: Attributes, operands: Mapping[int, str]) -> str:
    """`x × y` in the names of the inputs; "" where there is no function or the name is already the expression.

    Args:
        attributes: of the node.
        operands: edge key -> name of the value that comes in there.
    """
    if attributes["kind"] != "op" or attributes["name"] == attributes["expression"]:
        return ""
    if not operands and attributes["expression"]:
        return shorten(attributes["expression"], NAME_LENGTH)
    return call_text(attributes["op"], operands, attributes["call"])


def operands_of(graph: nx.MultiDiGraph, node: int) -> dict[int, str]:
    """Edge key -> name of the value that comes in there."""
    return {
        key: shorten(output_name(graph.nodes[tail], data["output"]), NAME_LENGTH)
        for tail, _, key, data in graph.in_edges(node, keys=True, data=True)
    }


def node_call(graph: nx.MultiDiGraph, node: int) -> str:
    """What a node's function does, in the names of its inputs; "" for leaves and constants."""
    return call_line(graph.nodes[node], operands_of(graph, node))


def derivative_of(head: Attributes, tail: Attributes, output: int) -> str:
    """`∂c/∂a`; where the head has several results, the one that its partial is of."""
    return derivative_text(output_name(head, head["outputs"][0]), output_name(tail, output))


def partial_formula(partial: Any) -> str:
    """The formula of a local partial; "" where there is none."""
    try:
        formula = partial.formula
    except PartialError:
        return ""
    if formula is None:
        return ""
    from gradviz.symbolic import formula_text

    return short_formula(formula_text(formula))


def short_formula(formula: str) -> str:
    """A formula's text as it fits on an edge; where it is but a number, that as numbers are written.

    >>> short_formula("-x*y"), short_formula("8.1e-09"), short_formula("1/3")
    ('−x*y', '8.1e−09', '1/3')
    """
    text = with_minus_signs(formula)
    if _NUMBER.fullmatch(text):
        return number_text(float(text.replace(MINUS, "-")))
    return text if len(text) <= FORMULA_LENGTH else f"{text[: FORMULA_LENGTH - 1]}…"


def partial_number(partial: Any) -> str:
    """The number of a partial between single numbers; "" otherwise, and where it cannot be known any more."""
    if math.prod(partial.in_shape) != 1 or math.prod(partial.out_shape) != 1:
        return ""
    try:
        return number_text(float(partial))
    except PartialError:
        return ""


def partial_shapes(partial: Any) -> str:
    """The shape of a Jacobian, output times input; "" between single numbers. The Jacobian itself is never made."""
    if math.prod(partial.in_shape) == 1 and math.prod(partial.out_shape) == 1:
        return ""
    return f"{shape_text(partial.out_shape)}×{shape_text(partial.in_shape)}"


def correction_text(autograd: float | None, reference: float | None) -> str:
    """Autograd's number and the true one, with as many digits as it takes to tell them apart.

    >>> correction_text(12.012, 12.0), correction_text(1.0000001, 1.0)
    ('autograd 12.01, true 12', 'autograd 1.0000001, true 1')
    """
    if autograd is None or reference is None:
        return ""
    for digits in range(4, 18):
        found, true = number_text(autograd, digits), number_text(reference, digits)
        if found != true:
            return f"autograd {found}, true {true}"
    return ""


def _has_several(attributes: Attributes) -> bool:
    return len(attributes["outputs"]) > 1


def _one_cotangent(cotangent: Tensor, name: str, output_of_graph: str) -> str:
    return cotangent_text(cotangent, derivative_text(output_of_graph, name) if output_of_graph else "cotangent")


def _short_value(value: Tensor) -> str:
    lines = value_lines(value)
    return f" = {lines[0]}" if len(lines) == 1 else f": {head_line(value)}"


def _is_number(name: str, lines: tuple[str, ...]) -> bool:
    """Whether a node's name is its value."""
    try:
        return lines == (number_text(float(name)),)
    except ValueError:
        return False
