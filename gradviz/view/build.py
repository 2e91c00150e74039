"""GradGraph and choices -> View: which nodes and edges are on the picture and what is written on them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import networkx as nx
from torch import Tensor

from gradviz.attributes import not_kept, said_of_write
from gradviz.collector import collector_paused
from gradviz.view.boxes import boxes_of
from gradviz.view.by_name import drawn_name, on_picture
from gradviz.view.choose import chosen_shapes, depth, output_nodes, repeated_nodes
from gradviz.view.drawn import PAGE_NODES, Drawn, drawn_of, part_of
from gradviz.view.edge_labels import labelled
from gradviz.view.fit import fitted
from gradviz.view.focus import Side, Target, findings_in
from gradviz.view.gaps import gaps_in
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
from gradviz.view.model import Direction, Gap, Role, ThemeName, View, ViewEdge, ViewGroup, ViewNode
from gradviz.view.notation import NAME_LENGTH, listed, shorten
from gradviz.view.options import Collapse, Part, check_choices, check_report, findings_of, names_of, parts_of
from gradviz.view.page import paged
from gradviz.view.summary import HEAT_NOTE, HeatMap, head_line, heat_map, written_out
from gradviz.view.titles import class_of, classes_in
from gradviz.view.told import told_elsewhere
from gradviz.view.verdicts import Finding, Marks, Report, lines_with_sources, worst

MAX_NODES = 200
"""What is drawn at most where nothing is said."""
MAX_EDGE_LABELS = 250
DEEP = 15
DEEP_IN_GROUPS = 6
"""A group is wider than a node."""
HOW_TO_OPEN = "option unfold opens one by name, collapse “none” all"
"""Of the groups on a picture, for those who call the library or the command line; the app has buttons in its place."""
OPEN_ALREADY = "open already, without unfold"
NOT_ON_PICTURE = "to be unfolded, but not on this picture"
"""Before names that `unfold` is given for nothing."""


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
    parts, opened, closed = parts_of(show), names_of("unfold", unfold), names_of("fold", fold)
    check_report(report)
    found = findings_of(findings)
    found += [finding for finding in findings_in(focus) if finding not in found]
    marks = Marks(report, found, with_verdicts="verdict" in parts)
    part = part_of(graph, focus, radius, side, between)
    most = MAX_NODES if max_nodes is None else max_nodes

    def draw(page: int, unfold: Collection[str], fold: Collection[str]) -> View:
        with collector_paused():
            kept = marks.places_to_keep()
            drawn = drawn_of(graph, part, collapse, unfold, fold, page, keep=kept, with_calls="call" in parts)
        builder = _Builder(drawn, marks, parts, most, max_edge_labels)
        is_deep = builder.gaps or depth(builder.graph, builder.shown) >= (DEEP_IN_GROUPS if builder.groups else DEEP)
        view = builder.view(direction or ("BT" if is_deep else "LR"), theme)
        return view if direction else fitted(view, may_leave_out=show is None)

    if direction or collapse != "auto" or max_nodes is not None:
        return draw(PAGE_NODES if max_nodes is None else max_nodes, opened, closed)
    return paged(draw, opened, closed)


class _Builder:
    """One graph under one set of choices; its methods read and never change the graph."""

    def __init__(self, drawn: Drawn, marks: Marks, show: frozenset[str], max_nodes: int, max_edge_labels: int) -> None:
        self.show = show
        self.marks = marks
        self.drawn = drawn
        self.whole = drawn.whole
        self.focus = drawn.focus
        self.folded = drawn.folded
        self.wires = drawn.wires
        self.groups = drawn.quotient.groups
        self.bundles = drawn.quotient.bundles
        self.graph = drawn.quotient.graph
        self.total = len(drawn.whole)
        shows_most = self.focus is None and (self.groups or len(self.graph) <= 2 * max_nodes)  # of others a copy takes long
        self.repeated = repeated_nodes(self.graph, set(self.graph)) if shows_most else set()
        centre = self.focus.centre if self.focus else frozenset()
        quiet = [node for node in self.repeated - drawn.named - centre if not self._is_marked(node)]
        self.told = told_elsewhere(self.graph, quiet, with_calls="call" in show)
        if told := self.told.in_groups | self.told.in_parts:
            self.graph = self.graph.subgraph(set(self.graph) - told).copy()
        self.order, self.first_nodes = chosen_shapes(self.graph, max_nodes)
        self.shown = set(self.order)
        self.users = {node: self._users(node) for node in sorted(repeated_nodes(self.graph, self.shown))}
        self.gaps = gaps_in(self.graph, self.shown)
        self.in_gaps = {node for part in self.gaps for node in part}
        self.edges = sum(head in self.shown and tail in self.shown for tail, head in self.graph.edges())
        self.label_all = self.edges <= max_edge_labels
        self.cotangent_name = self._cotangent_name()
        self.unseen_writes: dict[int, tuple[tuple[str, str], ...]] = drawn.whole.graph.get("unseen_writes", {})

    def view(self, direction: Direction, theme: ThemeName) -> View:
        nodes = tuple(view_node for node in self.order if node not in self.groups for view_node in self._nodes(node))
        groups = tuple(view_group for node in self.order if node in self.groups for view_group in self._groups(node))
        edges = tuple(edge for head in self.order for edge in self._edges_into(head))
        names = [self.whole.nodes[node]["name"] for node in output_nodes(self.whole)]
        return View(
            title=f"computational graph of {', '.join(names[:3])}: {_counted(nodes, groups, edges)}",
            nodes=nodes,
            edges=edges,
            groups=groups,
            gaps=tuple(self._gap(part) for part in self.gaps),
            boxes=boxes_of(self.drawn, self._shapes()),
            direction=direction,
            theme=theme,
            notes=tuple(self._notes(nodes)),
        )

    def _shapes(self) -> Iterator[tuple[str, int, int | None]]:
        """The id of each shape, its node, and its user where a node is drawn once for each."""
        for node in self.order:
            if node in self.users:
                yield from ((self._view_id(node, head), node, head) for head in self.users[node])
            else:
                yield self._id(node), node, None

    def _notes(self, nodes: tuple[ViewNode, ...]) -> Iterator[str]:
        if self.focus is not None:
            yield f"only {self.focus.what}: {len(self.focus.nodes):,} of {self.total:,} nodes"
        if any(self.groups[node].opens in self.drawn.cut for node in self.order if node in self.groups):
            yield "what is written on a group is that of its whole call, also where only a part of it is in focus"
        if len(self.order) < len(self.graph):
            first = f" and the first {self.first_nodes}" if self.first_nodes else ""
            yield f"showing {self._nodes_shown():,} of {self.total:,} nodes: those nearest to the output{first}"
        if self.groups:
            inside = sum(len(self.groups[node].nodes) for node in self.order if node in self.groups)
            yield f"{inside:,} of {self.total:,} nodes are inside groups; {HOW_TO_OPEN}"
        yield from self._unfolded_for_nothing()
        if not self.label_all:
            yield f"edge labels left out: there are {self.edges:,} edges"
        repeated = [self._attributes(node) for node in self.users]
        names = [attributes["name"] for attributes in repeated if attributes["kind"] != "constant"]
        if names:
            yield f"drawn once per use: {listed(names)}"
        users = self.drawn.quotient.graph.successors
        for how, told in self.told.ways:
            if names := [self.whole.nodes[node]["name"] for node in sorted(told) if self.shown.intersection(users(node))]:
                yield f"{how}: {listed(names)}"
        if any(node.heat for node in nodes):
            yield HEAT_NOTE
        if missing := not_kept(self.whole):
            yield f"kept as statistics: {missing}"

    def _unfolded_for_nothing(self) -> Iterator[str]:
        names = [self.whole.nodes[node]["name"] for node in sorted(self.drawn.named)]
        names = list(dict.fromkeys([*self.drawn.already, *names]))
        inside = {node for group in self.shown & set(self.groups) for node in self.groups[group].nodes}
        drawn = on_picture(names, self.shown - set(self.groups), inside, self.wires)
        if already := [name for name in self.drawn.already if name in drawn and not self._is_told(name)]:
            yield f"{OPEN_ALREADY}: {listed(already)}"
        if missing := [name for name in names if name not in drawn]:
            yield f"{NOT_ON_PICTURE}: {listed(missing)}"

    def _is_told(self, name: str) -> bool:
        """Whether a leaf or constant would be told by what reads it, were it not unfolded by its name."""
        named = [node for node in self.drawn.named if self.whole.nodes[node]["name"] == name]
        told = told_elsewhere(self.drawn.quotient.graph, self.repeated.intersection(named), with_calls="call" in self.show)
        return bool(told.in_groups or told.in_parts)

    def _nodes_shown(self) -> int:
        return sum(len(self.groups[node].nodes) if node in self.groups else 1 for node in self.order)

    def _is_marked(self, node: int) -> bool:
        return bool(self.marks.troubles.get(node)) or self.marks.nodes.get(node) not in (None, "match")

    def _shared(self, group: int) -> str:
        """The leaves that a group reads and that are not drawn."""
        names = [self.whole.nodes[tail]["name"] for tail in sorted(self.told.in_groups.intersection(self._read_by(group)))]
        return f"with {listed(names)}" if names else ""

    def _read_by(self, group: int) -> Iterator[int]:
        return (tail for head in self.groups[group].nodes for tail, _, _ in self.wires.into[head])

    def _attributes(self, node: int) -> Mapping[str, Any]:
        attributes: Mapping[str, Any] = self.graph.nodes[node]
        return attributes

    def _cotangent_name(self) -> str:
        """The name in `∂name/∂c`, or "" where the cotangents are not derivatives of one number."""
        outputs = output_nodes(self.whole)
        seed = self.whole.nodes[outputs[0]]["cotangent"] if len(outputs) == 1 else None
        is_one = isinstance(seed, Tensor) and seed.numel() == 1 and seed.device.type != "meta" and seed.item() == 1
        return str(self.whole.nodes[outputs[0]]["name"]) if is_one else ""

    def _users(self, node: int) -> dict[int, int]:
        """The shown users of a node, numbered in forward order."""
        heads = sorted({head for head in self.graph.successors(node) if head in self.shown})
        return {head: place for place, head in enumerate(heads)}

    def _view_id(self, tail: int, head: int) -> str:
        """The id of the shape that stands for `tail` where `head` uses it."""
        place = self.users[tail][head] if tail in self.users else 0
        return f"{self._id(tail)}_use_{place + 1}" if place else self._id(tail)

    def _id(self, node: int) -> str:
        return f"group_{node}" if node in self.groups else f"node_{node}"

    def _nodes(self, node: int) -> Iterator[ViewNode]:
        """The shapes of one node; several where it is drawn once per use."""
        if node not in self.users:
            yield self._node(node, f"node_{node}")
        for head in self.users.get(node, ()):
            yield self._node(node, self._view_id(node, head))

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
        for head in self.users.get(node, (None,)):
            yield group if head is None else replace(group, id=self._view_id(node, head))

    def _group(self, node: int) -> ViewGroup:
        group, wires = self.groups[node], self.wires
        told = self.drawn.cut.get(group.opens, group)
        verdicts = [self.marks.nodes.get(member) for member in group.nodes]
        if self.marks.edges:
            verdicts += [self.marks.of_edge((tail, head, key)) for head in group.nodes for tail, key, _ in wires.into[head]]
        return ViewGroup(
            id=self._id(node),
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
        out_of_focus = len(self.wires.into[node]) - self.graph.in_degree(node) if self.focus is not None else 0
        tails = (tail for tail, _ in self.graph.in_edges(node))
        return out_of_focus + sum(tail not in self.shown and tail not in self.in_gaps for tail in tails)

    def _call(self, node: int) -> str:
        if "call" not in self.show:
            return ""
        if node in self.folded.calls:
            return self.folded.calls[node]
        return call_line(self._attributes(node), operands_of(self.whole, node))

    def _role(self, node: int) -> Role:
        role = role_of(self._attributes(node))
        return "constant" if role == "op" and (node in self.folded.constants or node in self.told.parts) else role

    def _value(self, node: int) -> tuple[str, ...]:
        value = self._attributes(node)["value"]
        if "value" not in self.show:
            return ()
        if node in self.folded.uninitialised and isinstance(value, Tensor):
            return (head_line(value), "uninitialised")
        writes = dict.fromkeys(f"then {said_of_write(op)} unseen by autograd" for op, _ in self.unseen_writes.get(node, ()))
        return (*value_text(self._attributes(node)), *writes)

    def _heat(self, node: int) -> HeatMap | None:
        """A heat map, unless the same elements are written out."""
        value = self._attributes(node)["value"]
        if "heat" not in self.show or not isinstance(value, Tensor) or node in self.folded.uninitialised:
            return None
        return None if "value" in self.show and written_out(value) else heat_map(value)

    def _gap(self, part: list[int]) -> Gap:
        members = set(part)
        tails = {tail for tail, _ in self.graph.in_edges(part)} - members - set(self.users)
        heads = {head for _, head in self.graph.out_edges(part)} - members
        return Gap(
            id=f"gap_{part[0]}",
            nodes=len(part),
            leaves=sum(self._attributes(node)["kind"] == "leaf" for node in part),
            tails=tuple(self._id(tail) for tail in sorted(tails)),
            heads=tuple(self._id(head) for head in sorted(heads)),
        )

    def _edges_into(self, head: int) -> Iterator[ViewEdge]:
        edges = self.graph.in_edges(head, keys=True, data=True)
        for tail, _, key, data in sorted(edges, key=lambda edge: (edge[2], edge[0])):
            if tail in self.shown:
                yield self._edge(tail, head, key, data)

    def _edge(self, tail: int, head: int, key: int, data: Attributes) -> ViewEdge:
        edges = self.bundles.get((tail, head, key), ((tail, head, key),))
        verdict = worst(map(self.marks.of_edge, edges))
        edge = next((one for one in edges if self.marks.of_edge(one) == verdict), edges[0])
        checked = self.marks.edges.get(edge)
        bare = ViewEdge(
            id=f"edge_{tail}_{head}_{key}",
            tail=self._view_id(tail, head),
            head=self._id(head),
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
