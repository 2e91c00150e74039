"""A view -> what the browser knows of each shape and arrow on it: name, text, neighbours, and what a click shows at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from gradviz.check import Checked, CheckReport
from gradviz.check.formulas import edge_name
from gradviz.details import checks_of
from gradviz.graph import GradGraph
from gradviz.render.theme import MARKS
from gradviz.signs import MINUS
from gradviz.view import View, ViewEdge, ViewGroup, ViewNode, number_text
from gradviz.view.summary import is_opaque

UNFOLD, FOLD = "double click or + unfolds it", "double click or − folds it"


def items_of(view: View, graph: GradGraph, report: CheckReport | None) -> list[dict[str, Any]]:
    """An item for each box, node, group and edge, in this order.

    Of each: `id`, `kind`, `name`, the `label` for screen readers, the lines beside the pointer (`hover`), and what a click
    shows with these: `title` where it is not the name, `remark`, and further `facts`.
    """
    checked = {entry.edge: entry for entry in report.edges} if report else {}
    found = _found(report) if report else {}
    names = {node.id: str(graph.nodes[node.node]["name"]) for node in view.nodes}
    names |= {group.id: group.title for group in view.groups}
    return [
        *({"id": box.id, "kind": "box", "fold": box.name, **_told(box.title, "opened call", [FOLD])} for box in view.boxes),
        *(_node(node, graph, found.get(node.node, {})) for node in view.nodes),
        *(_group(group) for group in view.groups),
        *(_edge(edge, graph, names, checked.get(edge.edge)) for edge in view.edges),
    ]


def kind_text(kind: str, op: str) -> str:
    """What a node is, in words.

    >>> print(kind_text("op", "sin"), kind_text("leaf", ""), sep="; ")
    function sin; input, requires grad
    """
    return {"leaf": "input, requires grad", "constant": "constant"}.get(kind, f"function {op}")


def flow_text(kind: str) -> str:
    """What that is called which comes back to a node: at an input, the gradient."""
    return "gradient" if kind == "leaf" else "cotangent"


def count_text(count: int) -> str:
    """How many calls a group stands for."""
    return f"{count:,} calls that are alike" if count > 1 else "drawn as one"


def use_text(tail: str, head: str, argument: str) -> str:
    """What an edge is, in words.

    >>> print(use_text("x", "a", "self"), use_text("w", "a", "weight"), sep="; ")
    x is used by a, first argument; w is used by a, argument weight
    """
    place = {"self": "first argument", "other": "second argument"}.get(argument, f"argument {argument}")
    return f"{tail} is used by {head}" + (f", {place}" if argument else "")


def _found(report: CheckReport) -> dict[int, dict[str, list[str]]]:
    """Node -> verdict -> of what."""
    found: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for what, checked in checks_of(report):
        found[checked.node][f"{MARKS[checked.verdict]} {checked.verdict}"].append(what)
    return found


def _told(name: str, role: str, lines: Iterable[str], heading: str = "") -> dict[str, Any]:
    """Name, text for screen readers, and lines to show beside the pointer."""
    told = [heading or name, *filter(None, lines)]
    return {"name": name, "label": f"{role} {'; '.join(told)}", "hover": told, "remark": role}


def _node(node: ViewNode, graph: GradGraph, found: Mapping[str, list[str]]) -> dict[str, Any]:
    attributes = graph.nodes[node.node]
    heading = f"{node.name} = {node.call}" if node.call else node.name
    lines = [f"value {', '.join(node.value)}" if node.value else "", node.cotangent]
    told = _told(str(attributes["name"]), node.role, lines, heading)
    facts = [f"{what} {attributes[key]}" for what, key in (("line", "source"), ("module", "module")) if attributes[key]]
    facts += [f"{verdict} {', '.join(of)}" for verdict, of in found.items()]
    return told | {
        "id": node.id,
        "kind": "node",
        "output": node.role == "output",
        "hover": [heading, *_full(node, graph), *node.trouble],
        "remark": kind_text(attributes["kind"], str(attributes["op"])),
        "facts": facts,
    }


def _group(group: ViewGroup) -> dict[str, Any]:
    heading = f"{group.count:,} × {group.title}" if group.count > 1 else group.title
    verdict = f"{MARKS[group.verdict]} {group.verdict}" if group.verdict else ""
    lines = [*group.lines, *group.gradient, verdict, *group.trouble, UNFOLD if group.opens else ""]
    told = _told(group.title, "group", lines, heading) | {"remark": count_text(group.count)}
    return {"id": group.id, "kind": "group", **told, "unfold": group.opens[0] if group.opens else ""}


def _full(node: ViewNode, graph: GradGraph) -> Iterator[str]:
    """Value and cotangent with all digits, where they are single numbers."""
    for what, value, short in (
        ("value", graph.value(node.node), node.value),
        (flow_text(graph.nodes[node.node]["kind"]), graph.cotangent(node.node), (node.cotangent,) if node.cotangent else ()),
    ):
        if _is_number(value):
            yield f"{what} {str(value.detach().item()).removesuffix('.0').replace('-', MINUS)}"  # type: ignore[union-attr]
        elif short:
            yield from short


def _is_number(value: Tensor | None) -> bool:
    return value is not None and value.numel() == 1 and not is_opaque(value)


def _edge(edge: ViewEdge, graph: GradGraph, names: Mapping[str, str], checked: Checked | None) -> dict[str, Any]:
    way = f"{names[edge.tail]} → {names[edge.head]}"
    verdict = f"{MARKS[checked.verdict]} {checked.verdict}" if checked else ""
    uses = f"{edge.uses:,} uses" if edge.uses > 1 else ""
    told = _told(way, "edge", [edge.text, edge.flow, uses, f"cut: {edge.cut}" if edge.cut else "", verdict])
    attributes = graph.edges[edge.edge]
    contribution, facts = attributes["contribution"], []
    if checked is not None and not edge.text and checked.autograd is not None:  # a picture of many arrows has no labels
        facts.append(" = ".join(filter(None, [checked.name, checked.formula, number_text(checked.autograd)])))
    if _is_number(contribution):
        facts.append(f"contribution {number_text(contribution.item())}")
    told |= {"title": edge_name(graph, edge.edge), "facts": facts}
    told |= {"remark": use_text(names[edge.tail], names[edge.head], str(attributes["argument"] or ""))}
    return {"id": edge.id, "kind": "edge", **told, "tail": edge.tail, "head": edge.head, "cut": bool(edge.cut)}
