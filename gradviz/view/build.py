"""GradGraph and choices -> View: which nodes and edges are on the picture and what is written on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import networkx as nx
from torch import Tensor

from gradviz.attributes import said_of_write
from gradviz.collector import collector_paused
from gradviz.view.boxes import boxes_of
from gradviz.view.by_name import drawn_name
from gradviz.view.choose import depth, output_nodes
from gradviz.view.drawn import PAGE_NODES, drawn_of, part_of
from gradviz.view.edge_labels import labelled
from gradviz.view.fit import fitted
from gradviz.view.focus import Side, Target, findings_in, focus_in
from gradviz.view.group_labels import gradient_lines, shapes_line, size_line, trouble_lines
from gradviz.view.labels import (
    Attributes,
    call_line,
    correction_text,
    cotangent_line,
    operands_of,
    role_of,
    value_text,
)
from gradviz.view.landmarks import placed
from gradviz.view.model import Direction, Gap, Role, ThemeName, View, ViewEdge, ViewGroup, ViewNode
from gradviz.view.no_calls import why_no_calls
from gradviz.view.notation import NAME_LENGTH, listed, shorten
from gradviz.view.notes import notes_of
from gradviz.view.options import Collapse, Part, check_choices, check_report, findings_of, names_of, parts_of
from gradviz.view.page import paged
from gradviz.view.shown import Shown, shown_of
from gradviz.view.summary import HeatMap, head_line, heat_map, written_out
from gradviz.view.titles import class_of, classes_in, untitled
from gradviz.view.verdicts import Finding, Marks, Report, lines_with_sources, worst

MAX_NODES = 200
"""What is drawn at most where nothing is said."""
MAX_EDGE_LABELS = 250
DEEP = 15
DEEP_IN_GROUPS = 6
"""A group is wider than a node."""


def view_of(
    graph: nx.MultiDiGraph,
    *,
    report: Report | None = None,
    findings: Iterable[Finding] | None = None,
    show: Part | Collection[Part] | None = None,
    collapse: Collapse = "auto",
    unfold: str | Collection[str] = (),
    fold: str | Collection[str] = (),
    focus: Target | Sequence[Target] | None = None,
    radius: int | None = None,
    side: Side = "both",
    between: tuple[int | str, int | str] | None = None,
    max_nodes: int | None = None,
    max_edge_labels: int = MAX_EDGE_LABELS,
    direction: Direction | None = None,
    theme: ThemeName = "light",
) -> View:
    """Decides what is on the picture of a `GradGraph`; `GradGraph.view` tells the options."""
    check_choices(collapse, max_nodes, max_edge_labels, direction, theme)
    parts, classes = parts_of(show), classes_in(graph)
    opened, closed = ([untitled(one, classes) for one in names_of(*given)] for given in (("unfold", unfold), ("fold", fold)))
    check_report(report)
    found, focus = placed(graph, findings_of(findings)), focus_in(graph, focus)
    found += [finding for finding in findings_in(focus) if finding not in found]
    marks = Marks(report, found, with_verdicts="verdict" in parts)
    part = part_of(graph, focus, radius, side, between)
    most = MAX_NODES if max_nodes is None else max_nodes

    def draw(page: int, unfold: Collection[str], fold: Collection[str]) -> View:
        kept = marks.places_to_keep()
        drawn = drawn_of(graph, part, collapse, unfold, fold, page, keep=kept, with_calls="call" in parts)
        shown = shown_of(drawn, marks, most, with_calls="call" in parts)
        is_deep = shown.gaps or depth(shown.graph, set(shown.nodes)) >= (DEEP_IN_GROUPS if shown.groups else DEEP)
        view = _Builder(shown, marks, parts, max_edge_labels).view(direction or ("BT" if is_deep else "LR"), theme)
        if not view.groups and (collapse not in ("auto", "none") or (collapse == "auto" and len(view.nodes) > PAGE_NODES)):
            why = why_no_calls(data for _, data in graph.nodes(data=True))
            view = replace(view, notes=(*view.notes, *(f"nothing is drawn as one: {first}" for first in why[:1]), *why[1:]))
        return view if direction else fitted(view, may_leave_out=show is None)

    with collector_paused():  # which would walk the whole graph whenever some groups of it are made
        if direction or collapse != "auto" or max_nodes is not None:
            return draw(PAGE_NODES if max_nodes is None else max_nodes, opened, closed)
        return paged(draw, opened, closed)


class _Builder:
    """One picture under one set of choices; its methods read and never change the graph."""

    def __init__(self, shown: Shown, marks: Marks, show: frozenset[str], max_edge_labels: int) -> None:
        self.shown = shown
        self.marks = marks
        self.show = show
        self.drawn = shown.drawn
        self.whole = shown.drawn.whole
        self.graph = shown.graph
        self.groups = shown.groups
        self.in_gaps = {node for part in shown.gaps for node in part}
        self.label_all = shown.arrows <= max_edge_labels
        self.cotangent_name = self._cotangent_name()
        self.unseen_writes: dict[int, tuple[tuple[str, str], ...]] = self.whole.graph.get("unseen_writes", {})

    def view(self, direction: Direction, theme: ThemeName) -> View:
        order = self.shown.order
        nodes = tuple(view_node for node in order if node not in self.groups for view_node in self._nodes(node))
        groups = tuple(view_group for node in order if node in self.groups for view_group in self._groups(node))
        edges = tuple(edge for head in order for edge in self._edges_into(head))
        names = [self.whole.nodes[node]["name"] for node in output_nodes(self.whole)]
        notes = notes_of(
            self.shown,
            with_labels=self.label_all,
            with_calls="call" in self.show,
            with_heat=any(node.heat for node in nodes),
        )
        return View(
            title=f"computational graph of {', '.join(names[:3])}: {_counted(nodes, groups, edges)}",
            nodes=nodes,
            edges=edges,
            groups=groups,
            gaps=tuple(map(self._gap, self.shown.gaps)),
            boxes=boxes_of(self.drawn, (shape for node in order for shape in self.shown.shapes_of(node))),
            direction=direction,
            theme=theme,
            notes=tuple(notes),
        )

    def _shared(self, group: int) -> str:
        """The leaves that a group reads and that are not drawn."""
        shared = self.shown.told.in_groups.intersection(self._read_by(group))
        names = [self.whole.nodes[tail]["name"] for tail in sorted(shared)]
        return f"with {listed(names)}" if names else ""

    def _read_by(self, group: int) -> Iterator[int]:
        return (tail for head in self.groups[group].nodes for tail, _, _ in self.drawn.wires.into[head])

    def _attributes(self, node: int) -> Mapping[str, Any]:
        attributes: Mapping[str, Any] = self.graph.nodes[node]
        return attributes

    def _cotangent_name(self) -> str:
        """The name in `∂name/∂c`, or "" where the cotangents are not derivatives of one number."""
        outputs = output_nodes(self.whole)
        seed = self.whole.nodes[outputs[0]]["cotangent"] if len(outputs) == 1 else None
        is_one = isinstance(seed, Tensor) and seed.numel() == 1 and seed.device.type != "meta" and seed.item() == 1
        return str(self.whole.nodes[outputs[0]]["name"]) if is_one else ""

    def _nodes(self, node: int) -> Iterator[ViewNode]:
        """The shapes of one node; several where it is drawn once per use."""
        for view_id, _, _ in self.shown.shapes_of(node):
            yield self._node(node, view_id)

    def _node(self, node: int, view_id: str) -> ViewNode:
        attributes = self._attributes(node)
        return ViewNode(
            id=view_id,
            node=node,
            role=self._role(node),
            differentiable=attributes["requires_grad"],
            name=shorten(attributes["name"], NAME_LENGTH),
            call=self._call(node),
            value=self._value(node),
            cotangent=cotangent_line(attributes, self.cotangent_name) if "cotangent" in self.show else "",
            heat=self._heat(node),
            hidden_inputs=self._hidden_inputs(node),
            verdict=self.marks.nodes.get(node),
            trouble=self._trouble(node),
        )

    def _trouble(self, node: int) -> tuple[str, ...]:
        """What was found here, with the user's lines."""
        return lines_with_sources(self.marks.findings.get(node, ()), self._attributes(node)["source"])

    def _groups(self, node: int) -> Iterator[ViewGroup]:
        """The shapes of one group; several where it makes a constant and is drawn once per use."""
        group = self._group(node)
        for view_id, _, _ in self.shown.shapes_of(node):
            yield replace(group, id=view_id)

    def _group(self, node: int) -> ViewGroup:
        group, wires = self.groups[node], self.drawn.wires
        told = self.drawn.cut.get(group.opens, group)
        verdicts = [self.marks.nodes.get(member) for member in group.nodes]
        if self.marks.edges:
            verdicts += [self.marks.of_edge((tail, head, key)) for head in group.nodes for tail, key, _ in wires.into[head]]
        return ViewGroup(
            id=self.shown.shape(node),
            name=drawn_name(group),
            called=class_of(group.opens, classes_in(self.whole)) if group.kind in ("call", "alike") else "",
            count=len(group.blocks),
            nodes=tuple(sorted(group.nodes)),
            opens=group.opens,
            differentiable=self._attributes(node)["requires_grad"],
            bare=group.kind == "bookkeeping",
            lines=tuple(line for line in (shapes_line(wires, told), size_line(wires, told), self._shared(node)) if line),
            gradient=tuple(gradient_lines(wires, told)) if "cotangent" in self.show else (),
            verdict=worst(verdicts),
            trouble=trouble_lines(group, self.marks.troubles, verdicts.count("mismatch")),
        )

    def _hidden_inputs(self, node: int) -> int:
        """How many inputs are left out and belong to no gap."""
        is_part = self.drawn.focus is not None
        out_of_focus = len(self.drawn.wires.into[node]) - self.graph.in_degree(node) if is_part else 0
        tails = (tail for tail, _ in self.graph.in_edges(node))
        return out_of_focus + sum(tail not in self.shown.nodes and tail not in self.in_gaps for tail in tails)

    def _call(self, node: int) -> str:
        if "call" not in self.show:
            return ""
        if node in self.drawn.folded.calls:
            return self.drawn.folded.calls[node]
        return call_line(self._attributes(node), operands_of(self.whole, node))

    def _role(self, node: int) -> Role:
        role = role_of(self._attributes(node))
        is_constant = node in self.drawn.folded.constants or node in self.shown.told.parts
        return "constant" if role == "op" and is_constant else role

    def _value(self, node: int) -> tuple[str, ...]:
        value = self._attributes(node)["value"]
        if "value" not in self.show:
            return ()
        if node in self.drawn.folded.uninitialised and isinstance(value, Tensor):
            return (head_line(value), "uninitialised")
        writes = dict.fromkeys(f"then {said_of_write(op)} unseen by autograd" for op, _ in self.unseen_writes.get(node, ()))
        return (*value_text(self._attributes(node)), *writes)

    def _heat(self, node: int) -> HeatMap | None:
        """A heat map, unless the same elements are written out."""
        value = self._attributes(node)["value"]
        if "heat" not in self.show or not isinstance(value, Tensor) or node in self.drawn.folded.uninitialised:
            return None
        return None if "value" in self.show and written_out(value) else heat_map(value)

    def _gap(self, part: Sequence[int]) -> Gap:
        members = set(part)
        tails = {tail for tail, _ in self.graph.in_edges(part)} - members - set(self.shown.users)
        heads = {head for _, head in self.graph.out_edges(part)} - members
        return Gap(
            id=f"gap_{part[0]}",
            nodes=len(part),
            leaves=sum(self._attributes(node)["kind"] == "leaf" for node in part),
            tails=tuple(map(self.shown.shape, sorted(tails))),
            heads=tuple(map(self.shown.shape, sorted(heads))),
        )

    def _edges_into(self, head: int) -> Iterator[ViewEdge]:
        edges = self.graph.in_edges(head, keys=True, data=True)
        for tail, _, key, data in sorted(edges, key=lambda edge: (edge[2], edge[0])):
            if tail in self.shown.nodes:
                yield self._edge(tail, head, key, data)

    def _edge(self, tail: int, head: int, key: int, data: Attributes) -> ViewEdge:
        edges = self.drawn.quotient.bundles.get((tail, head, key), ((tail, head, key),))
        verdict = worst(map(self.marks.of_edge, edges))
        edge = next((one for one in edges if self.marks.of_edge(one) == verdict), edges[0])
        checked = self.marks.edges.get(edge)
        bare = ViewEdge(
            id=f"edge_{tail}_{head}_{key}",
            tail=self.shown.shape_for(tail, head),
            head=self.shown.shape(head),
            edge=edge,
            uses=len(edges),
            verdict=verdict,
            correction=correction_text(checked.autograd, checked.reference) if checked and verdict == "mismatch" else "",
            trouble=tuple(line for one in edges for line in self.marks.edge_troubles.get(one, ())),
            cut=data["cut"],
        )
        if data["partial"] is None or not (self.label_all or verdict == "mismatch"):
            return bare
        ends = self._attributes(edge[0]), self._attributes(edge[1])
        return labelled(bare, data, *ends, checked, self.show)


def _counted(nodes: Sequence[ViewNode], groups: Sequence[ViewGroup], edges: Sequence[ViewEdge]) -> str:
    in_groups = f" and {len(groups)} group{'' if len(groups) == 1 else 's'}" if groups else ""
    return f"{len(nodes)} nodes{in_groups}, {len(edges)} edges"
