"""GradGraph and choices -> View: which nodes and edges are on the picture and what is written on them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol, get_args

import networkx as nx
from torch import Tensor

from gradviz.errors import InputError, PartialError
from gradviz.view.choose import depth, nearest_nodes, output_nodes, repeated_nodes
from gradviz.view.model import Direction, Role, ThemeName, Verdict, View, ViewEdge, ViewNode
from gradviz.view.notation import (
    FORMULA_LENGTH,
    NAME_LENGTH,
    call_text,
    derivative_text,
    formula_text,
    number_text,
    shape_text,
    shorten,
)
from gradviz.view.summary import cotangent_text, head_line, heat_map, value_lines

Part = Literal["call", "value", "cotangent", "heat", "formula", "number", "contribution", "verdict"]

PARTS: frozenset[Part] = frozenset(get_args(Part))
DEFAULT_PARTS: frozenset[Part] = PARTS - {"contribution"}
MAX_NODES = 200
MAX_EDGE_LABELS = 150
DEEP = 15
HEAT_NOTE = "squares: vermilion > 0, white = 0, blue < 0, each tensor to its own scale; black NaN, yellow ∞"


class Checked(Protocol):
    """What a view reads of one line of a check report."""

    @property
    def edge(self) -> tuple[int, int, int]: ...

    @property
    def verdict(self) -> Verdict: ...


class Report(Protocol):
    """What a view reads of a `CheckReport`."""

    @property
    def edges(self) -> Iterable[Checked]: ...


def view_of(
    graph: nx.MultiDiGraph,
    *,
    report: Report | None = None,
    show: Collection[Part] = DEFAULT_PARTS,
    max_nodes: int = MAX_NODES,
    max_edge_labels: int = MAX_EDGE_LABELS,
    direction: Direction | None = None,
    theme: ThemeName = "light",
) -> View:
    """Decides what is on the picture of a graph.

    Args:
        graph: a `GradGraph`.
        report: its `CheckReport`; puts a verdict on each edge.
        show: what is written on nodes and edges; the names are those of `PARTS`.
        max_nodes: the budget; over it, the nodes nearest to the output stay and a note says so.
        max_edge_labels: with more edges than this, only mismatches and cuts are labelled, and a note says so.
        direction: "LR" from left to right, "BT" from the bottom to the top; None takes "LR" for graphs that are not
            deep, since the labels of `DEEP` edges in a row are wider than a screen can show.
        theme: "light", "dark" or "slides".

    Raises:
        InputError: an option has a value that is not accepted.
    """
    _check_choices(show, max_nodes, max_edge_labels, direction, theme)
    builder = _Builder(graph, report, frozenset(show), max_nodes, max_edge_labels)
    return builder.view(direction or ("LR" if depth(graph, builder.shown) < DEEP else "BT"), theme)


def _check_choices(show: Collection[str], max_nodes: int, max_edge_labels: int, direction: str | None, theme: str) -> None:
    unknown = sorted(set(show) - PARTS)
    if unknown:
        raise InputError(f"unknown part {unknown[0]!r} in show; accepted: {', '.join(sorted(PARTS))}")
    for name, value, accepted in (
        ("direction", direction or "LR", get_args(Direction)),
        ("theme", theme, get_args(ThemeName)),
    ):
        if value not in accepted:
            raise InputError(f"unknown {name} {value!r}; accepted: {', '.join(accepted)}")
    if max_nodes < 1:
        raise InputError(f"max_nodes is {max_nodes}; accepted: 1 or more")
    if max_edge_labels < 0:
        raise InputError(f"max_edge_labels is {max_edge_labels}; accepted: 0 or more")


class _Builder:
    """One graph under one set of choices; its methods read and never change the graph."""

    def __init__(
        self, graph: nx.MultiDiGraph, report: Report | None, show: frozenset[str], max_nodes: int, max_edge_labels: int
    ) -> None:
        self.graph = graph
        self.show = show
        self.verdicts = {} if report is None else {checked.edge: checked.verdict for checked in report.edges}
        self.order = nearest_nodes(graph, max_nodes)
        self.shown = set(self.order)
        self.users = {node: self._users(node) for node in sorted(repeated_nodes(graph, self.shown))}
        self.edges = sum(head in self.shown and tail in self.shown for tail, head in graph.edges())
        self.label_all = self.edges <= max_edge_labels
        self.cotangent_name = self._cotangent_name()

    def view(self, direction: Direction, theme: ThemeName) -> View:
        nodes = tuple(view_node for node in self.order for view_node in self._nodes(node))
        edges = tuple(edge for head in self.order for edge in self._edges_into(head))
        names = [self.graph.nodes[node]["name"] for node in output_nodes(self.graph)]
        return View(
            title=f"computational graph of {', '.join(names[:3])}: {len(nodes)} nodes, {len(edges)} edges",
            nodes=nodes,
            edges=edges,
            direction=direction,
            theme=theme,
            notes=tuple(self._notes(nodes)),
        )

    def _notes(self, nodes: tuple[ViewNode, ...]) -> Iterator[str]:
        total = len(self.graph)
        if len(self.order) < total:
            yield f"showing {len(self.order):,} of {total:,} nodes: those nearest to the output"
        if not self.label_all:
            yield f"edge labels left out: there are {self.edges:,} edges"
        repeated = [self._attributes(node) for node in self.users]
        names = [attributes["name"] for attributes in repeated if attributes["kind"] != "constant"]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            yield f"drawn once per use: {', '.join(shorten(name, NAME_LENGTH) for name in names[:3])}{more}"
        if any(node.heat for node in nodes):
            yield HEAT_NOTE

    def _attributes(self, node: int) -> Mapping[str, Any]:
        attributes: Mapping[str, Any] = self.graph.nodes[node]
        return attributes

    def _cotangent_name(self) -> str:
        """The name in `∂name/∂c`, or "" where the cotangents are not derivatives of one number."""
        outputs = output_nodes(self.graph)
        seed = self._attributes(outputs[0])["cotangent"] if len(outputs) == 1 else None
        is_one = isinstance(seed, Tensor) and seed.numel() == 1 and seed.device.type != "meta" and seed.item() == 1
        return str(self._attributes(outputs[0])["name"]) if is_one else ""

    def _users(self, node: int) -> dict[int, int]:
        """The shown users of a node, numbered in forward order."""
        heads = sorted({head for head in self.graph.successors(node) if head in self.shown})
        return {head: place for place, head in enumerate(heads)}

    def _view_id(self, tail: int, head: int) -> str:
        """The id of the shape that stands for `tail` where `head` uses it."""
        place = self.users[tail][head] if tail in self.users else 0
        return f"node_{tail}_use_{place + 1}" if place else f"node_{tail}"

    def _nodes(self, node: int) -> Iterator[ViewNode]:
        """The shapes of one node; several where it is drawn once per use."""
        if node not in self.users:
            yield self._node(node, f"node_{node}")
        for head in self.users.get(node, ()):
            yield self._node(node, self._view_id(node, head))

    def _node(self, node: int, view_id: str) -> ViewNode:
        attributes = self._attributes(node)
        value = attributes["value"]
        heat = value if "heat" in self.show and isinstance(value, Tensor) else None
        lines = tuple(_value_text(attributes)) if "value" in self.show else ()
        return ViewNode(
            id=view_id,
            node=node,
            role=_role(attributes),
            differentiable=attributes["requires_grad"],
            name=shorten(attributes["name"], NAME_LENGTH),
            call=self._call(node, attributes) if "call" in self.show else "",
            value=() if _says_the_same(attributes["name"], lines) else lines,
            cotangent=self._cotangent(attributes) if "cotangent" in self.show else "",
            heat=None if heat is None else heat_map(heat),
            hidden_inputs=sum(tail not in self.shown for tail, _ in self.graph.in_edges(node)),
        )

    def _call(self, node: int, attributes: Mapping[str, Any]) -> str:
        """`x × y` in the names of the inputs; "" where there is no function or the name is already the expression."""
        if attributes["kind"] != "op" or attributes["name"] == attributes["expression"]:
            return ""
        operands = {
            key: shorten(_used_name(self._attributes(tail), data["output"]), NAME_LENGTH)
            for tail, _, key, data in self.graph.in_edges(node, keys=True, data=True)
        }
        if not operands and attributes["expression"]:
            return shorten(attributes["expression"], NAME_LENGTH)
        return call_text(attributes["op"], operands, attributes["call"])

    def _cotangent(self, attributes: Mapping[str, Any]) -> str:
        if not attributes["requires_grad"]:
            return ""
        cotangent, name = attributes["cotangent"], attributes["name"]
        sign = derivative_text(self.cotangent_name, name) if self.cotangent_name else "cotangent"
        if isinstance(cotangent, Tensor):
            return cotangent_text(cotangent, sign)
        several = [(place, one) for place, one in enumerate(cotangent or ()) if one is not None]
        if not several:
            return "no gradient"
        return "; ".join(cotangent_text(one, f"{sign}[{place}]") for place, one in several[:3])

    def _edges_into(self, head: int) -> Iterator[ViewEdge]:
        edges = self.graph.in_edges(head, keys=True, data=True)
        for tail, _, key, data in sorted(edges, key=lambda edge: (edge[2], edge[0])):
            if tail in self.shown:
                yield self._edge(tail, head, key, data)

    def _edge(self, tail: int, head: int, key: int, data: Mapping[str, Any]) -> ViewEdge:
        verdict = self.verdicts.get((tail, head, key)) if "verdict" in self.show else None
        partial = data["partial"] if self.label_all or verdict == "mismatch" else None
        formula = _formula(partial) if partial is not None and "formula" in self.show else ""
        number, jacobian = _number_or_shapes(partial) if partial is not None and "number" in self.show else ("", "")
        contribution = data["contribution"] if self.label_all and "contribution" in self.show else None
        tail_name = _used_name(self._attributes(tail), data["output"])
        return ViewEdge(
            id=f"edge_{tail}_{head}_{key}",
            tail=self._view_id(tail, head),
            head=f"node_{head}",
            edge=(tail, head, key),
            derivative=derivative_text(self._attributes(head)["name"], tail_name) if partial is not None else "",
            formula=formula,
            number=number,
            jacobian=jacobian,
            contribution="" if contribution is None else cotangent_text(contribution, "contribution"),
            verdict=verdict,
            cut=data["cut"],
        )


def _role(attributes: Mapping[str, Any]) -> Role:
    if attributes["is_output"]:
        return "output"
    role: Role = attributes["kind"]
    return role


def _value_text(attributes: Mapping[str, Any]) -> Iterator[str]:
    value = attributes["value"]
    if isinstance(value, Tensor):
        yield from value_lines(value)
    elif value is None:
        yield f"value unknown: {shorten(attributes['value_missing'], FORMULA_LENGTH)}"
    else:
        for place, one in enumerate(value):
            if one is not None:
                yield f"[{place}]  {number_text(one.item()) if one.numel() == 1 and one.ndim == 0 else head_line(one)}"


def _says_the_same(name: str, lines: tuple[str, ...]) -> bool:
    """Whether a constant's name is its value, as in a node called `2`."""
    try:
        return lines == (number_text(float(name)),)
    except ValueError:
        return lines == (name,)


def _used_name(attributes: Mapping[str, Any], output: int) -> str:
    """The name of the value that runs along an edge: `h`, or `h[1]` for the second result of a call with several."""
    return f"{attributes['name']}[{output}]" if isinstance(attributes["value"], tuple) else str(attributes["name"])


def _formula(partial: Any) -> str:
    """The formula of a local partial; "" where there is none."""
    try:
        formula = partial.formula
    except PartialError:
        return ""
    return "" if formula is None else shorten(formula_text(formula), FORMULA_LENGTH)


def _number_or_shapes(partial: Any) -> tuple[str, str]:
    """The number of a scalar partial, or the shapes of a Jacobian; a dense Jacobian is never made for a label."""
    if math.prod(partial.in_shape) == 1 and math.prod(partial.out_shape) == 1:
        try:
            return number_text(float(partial)), ""
        except PartialError:
            return "", ""
    return "", f"{shape_text(partial.out_shape)}×{shape_text(partial.in_shape)}"
