"""One node or one edge of a graph -> all that is known of it, gathered for whoever shows it: pages, notebooks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from gradviz.check import Checked, CheckReport, EdgeCheck, LeafCheck, NodeCheck, SumCheck
from gradviz.check.formulas import edge_name
from gradviz.errors import PartialError
from gradviz.explain.latex import line_latex, term_latex
from gradviz.explain.terms import Derivative, Equation, Name, Number, Words
from gradviz.graph import Edge, GradGraph
from gradviz.moves import moved_as
from gradviz.signs import derivative_sign
from gradviz.view import node_call
from gradviz.view.summary import has_norm, norm

MAX_JACOBIAN_ELEMENTS = 32 * 32
"""A local Jacobian with more elements is not made: nobody could read it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDetails:
    """What is known of one value.

    Attributes:
        node: its number in the graph.
        name, kind: as in the graph.
        op: the function that made it, as torch calls it; "" for leaves and constants.
        latex: name and call as an equation, or the name alone.
        value, cotangent: of the first used output; None where unknown, or where no gradient reached it.
        value_missing: why there is no value.
        sign: how its cotangent is written, `∂d/∂x`; "" where cotangents are not derivatives of one number.
        requires_grad: whether a gradient can reach it.
        source, module, device: the user's line, the module that it lies in, where it lives.
        checks: (what was checked, what was found): its value, its whole gradient, the sum of its contributions.
    """

    node: int
    name: str
    kind: str
    op: str
    latex: str
    value: Tensor | None
    cotangent: Tensor | None
    value_missing: str
    sign: str
    requires_grad: bool
    source: str
    module: str
    device: str
    checks: tuple[tuple[str, Checked], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeDetails:
    """What is known of one use of a value.

    Attributes:
        edge: (tail, head, argument position).
        name: `∂c/∂a`.
        tail, head: the names of the two values.
        latex: the local partial as an equation; its sign alone where neither a formula nor a number is known.
        argument: which argument of the head's function the tail is.
        in_shape, out_shape: of tail and head; the Jacobian has the shape `(*out, *in)`.
        jacobian: the local partial as a matrix with a row for each element of the head; None where it is too large.
        contribution: what the edge adds to its tail's cotangent.
        gain: the norm of the contribution over that of the head's cotangent; None where one of them is missing or 0.
        check: what the check found.
        cut: why no gradient flows, or "".
        refusal: why the partial can no longer be asked for, or "".
    """

    edge: Edge
    name: str
    tail: str
    head: str
    latex: str
    argument: str
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    jacobian: Tensor | None
    contribution: Tensor | None
    gain: float | None
    check: EdgeCheck | None
    cut: str
    refusal: str


def node_details(graph: GradGraph, node: int, report: CheckReport | None = None) -> NodeDetails:
    """All that is known of a node.

    >>> import gradviz
    >>> graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    >>> details = node_details(graph, graph.node("a"))
    >>> print(details.latex, details.sign, float(details.cotangent))
    a = x \\cdot y ∂d/∂a 1.0
    """
    attributes = graph.nodes[node]
    name, call = str(attributes["name"]), node_call(graph, node)
    value = graph.value(node)
    return NodeDetails(
        node=node,
        name=name,
        kind=attributes["kind"],
        op=str(attributes["op"]) if attributes["kind"] == "op" else "",
        latex=line_latex(Equation(sides=(Name(name), Words(call)))) if call else term_latex(Name(name)),
        value=value,
        cotangent=graph.cotangent(node),
        value_missing=str(attributes["value_missing"]) if value is None else "",
        sign=_sign(graph, name),
        requires_grad=bool(attributes["requires_grad"]),
        source=str(attributes["source"]),
        module=str(attributes["module"] or ""),
        device=str(attributes["device"]),
        checks=() if report is None else tuple(found for found in checks_of(report) if found[1].node == node),
    )


def edge_details(graph: GradGraph, edge: Edge, report: CheckReport | None = None) -> EdgeDetails:
    """All that is known of an edge.

    >>> import gradviz
    >>> graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    >>> details = edge_details(graph, (graph.node("x"), graph.node("a"), 0))
    >>> print(details.latex, details.gain)
    \\frac{\\partial a}{\\partial x} = y = 3 3.0
    """
    use = next(use for use in graph.arguments_of(edge[1]) if use.edge == edge)
    tail, head = graph.output_name(edge[0], use.output), graph.output_name(edge[1], graph.nodes[edge[1]]["outputs"][0])
    equation, jacobian, refusal = term_latex(Derivative(Name(head), Name(tail))), None, ""
    shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
    if use.partial is not None:
        shapes = (use.partial.in_shape, use.partial.out_shape)
        try:
            jacobian = _matrix(use.partial.jacobian(), shapes) if _fits(shapes) else None
        except PartialError as error:
            refusal = str(error)
        formula = use.partial.latex
        if formula == "1" and math.prod(shapes[0]) > 1:  # said of one element, it would be read as the whole
            moved = moved_as(str(graph.nodes[edge[1]]["op"]))
            formula = rf"\text{{{moved}}}" if moved else formula
        number = term_latex(Number(jacobian.item())) if jacobian is not None and jacobian.numel() == 1 else ""
        whole = number and "1" == formula == number
        equation = " = ".join(part for part in (equation, "" if whole else formula, number) if part)
    found = [] if report is None else [entry for entry in report.edges if entry.edge == edge]
    return EdgeDetails(
        edge=edge,
        name=edge_name(graph, edge),
        tail=tail,
        head=head,
        latex=equation,
        argument=use.argument,
        in_shape=shapes[0],
        out_shape=shapes[1],
        jacobian=jacobian,
        contribution=use.contribution,
        gain=_gain(graph, edge[1], use.contribution),
        check=found[0] if found else None,
        cut=use.cut,
        refusal=refusal,
    )


def checks_of(report: CheckReport) -> Iterator[tuple[str, NodeCheck | LeafCheck | SumCheck]]:
    """All that was checked of nodes, each with what it is: the value, the whole gradient, the sum of contributions."""
    yield from (("value", entry) for entry in report.nodes)
    yield from (("gradient", entry) for entry in report.leaves)
    yield from (("sum of contributions", entry) for entry in report.sums)


def _sign(graph: GradGraph, name: str) -> str:
    """Cotangents are derivatives of the output where the backward pass started from 1."""
    return "" if graph.loss is None else derivative_sign(graph.output_name(*graph.loss), name)


def _fits(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> bool:
    return 0 < math.prod(shapes[0]) * math.prod(shapes[1]) <= MAX_JACOBIAN_ELEMENTS


def _matrix(jacobian: Tensor, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> Tensor:
    return jacobian.detach().reshape(math.prod(shapes[1]), math.prod(shapes[0]))


def _gain(graph: GradGraph, head: int, contribution: Tensor | None) -> float | None:
    cotangents = [graph.cotangent(head, place) for place in graph.nodes[head]["outputs"]]
    arrived = [cotangent for cotangent in cotangents if cotangent is not None]
    if contribution is None or not arrived or not all(map(has_norm, [contribution, *arrived])):
        return None
    whole = math.hypot(*map(norm, arrived))
    return norm(contribution) / whole if whole else None
