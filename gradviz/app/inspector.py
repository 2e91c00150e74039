"""What is selected on the canvas -> everything that is known of it, beside the canvas."""

from __future__ import annotations

import html

import streamlit as st
from torch import Tensor

import gradviz
from gradviz.app.canvas.items import count_text, flow_text, kind_text, use_text
from gradviz.app.exploring import Exploring
from gradviz.app.numbers import tensor_html
from gradviz.app.shown import Shown
from gradviz.check import Checked
from gradviz.details import EdgeDetails, NodeDetails, edge_details, node_details
from gradviz.render.theme import MARKS
from gradviz.view import View, ViewGroup, number_text
from gradviz.view.notation import digits_text

NOTHING = "Click a value or an arrow, or move to one with Tab and the arrow keys and press Enter."
NOT_DRAWN = "This node is not on the picture, which shows a part of the graph."
QUICK_NODES = 150
"""A derivation goes through all that is between a node and the output: in larger graphs only where it is asked for."""


def inspector(shown: Shown, view: View, exploring: Exploring) -> None:
    """Draws the panel for what is selected; an id that is not on the picture is nothing."""
    graph, report, selected = shown.graph, shown.report, exploring.selected
    if node := next((one for one in view.nodes if one.id == selected), None):
        _node(node_details(graph, node.node, report), graph)
    elif edge := next((one for one in view.edges if one.id == selected), None):
        if edge.uses > 1:
            st.caption(f"One of {edge.uses:,} uses that are drawn as one arrow, {'the worst' if report else 'the first'}:")
        _edge(edge_details(graph, edge.edge, report))
    elif group := next((one for one in view.groups if one.id == selected), None):
        _group(group, exploring)
    elif box := next((one for one in view.boxes if one.id == selected), None):
        _heading(box.title, "opened call")
        st.button("Fold it", icon=":material/unfold_less:", on_click=exploring.close, args=(box.name, graph))
    elif (hidden := _node_of(selected, graph)) is not None:
        st.caption(NOT_DRAWN)
        _node(node_details(graph, hidden, report), graph)
    else:
        st.caption(NOTHING)


def is_hidden(view_id: str, view: View, graph: gradviz.GradGraph) -> bool:
    """Whether an id is that of a node that is not on the picture."""
    return _node_of(view_id, graph) is not None and all(node.id != view_id for node in view.nodes)


def _node_of(view_id: str, graph: gradviz.GradGraph) -> int | None:
    number = view_id.removeprefix("node_")
    found = int(number) if view_id != number and number.isascii() and number.isdecimal() and len(number) < 9 else None
    return found if found in graph else None


def _group(group: ViewGroup, exploring: Exploring) -> None:
    """What a group says on the picture, and what opens it."""
    _heading(group.title, count_text(group.count))
    for line in (*group.lines, *group.gradient):
        st.html(f'<div style="overflow-wrap: anywhere">{html.escape(line)}</div>')
    if group.verdict:
        st.html(f'<div class="gradviz-verdict {group.verdict}"><b>{MARKS[group.verdict]} {group.verdict}</b> inside</div>')
    for line in group.trouble:
        st.html(f'<div class="gradviz-trouble" style="overflow-wrap: anywhere">{html.escape(line)}</div>')
    if group.opens:
        names = list(dict.fromkeys(group.opens))
        name = names[0] if len(names) == 1 else st.selectbox("Call", names, key=f"call of {group.id}")
        st.button("Unfold it", icon=":material/unfold_more:", on_click=exploring.open, args=(name,))
    else:
        st.caption("Choose “every op” below the graph to see what is inside.")


def _node(details: NodeDetails, graph: gradviz.GradGraph) -> None:
    _heading(details.name, kind_text(details.kind, details.op))
    if details.op:
        st.latex(details.latex)
    _tensor("value", details.value, details.value_missing or "unknown")
    if details.requires_grad:
        _tensor(f"{flow_text(details.kind)} {details.sign}".strip(), details.cotangent, "no gradient reached it")
    _facts({"line": details.source, "module": details.module, "device": details.device})
    for what, entry in details.checks:
        _check(what, entry)
    if details.cotangent is not None and (len(graph) <= QUICK_NODES or st.toggle("Derivation", key="derivation of node")):
        _derivation(graph, details.name)


def _derivation(graph: gradviz.GradGraph, name: str) -> None:
    """The cotangent as the sum over the paths, in one line."""
    try:
        st.markdown(graph.explain(name, level="short").markdown)
    except gradviz.GradvizError as error:
        st.caption(f"The sum over its paths: {error}")


def _edge(details: EdgeDetails) -> None:
    _heading(details.name, use_text(details.tail, details.head, details.argument))
    st.latex(details.latex)
    if details.cut:
        st.caption(f"No gradient flows here: {details.cut}")
    if details.refusal:
        st.caption(details.refusal)
    if details.jacobian is not None and details.jacobian.numel() > 1:
        shape = f"Jacobian, {list(details.out_shape)} by {list(details.in_shape)}"
        _tensor(shape, details.jacobian, "")
    elif not details.cut and details.jacobian is None and not details.refusal:
        st.caption(f"The Jacobian of {list(details.out_shape)} by {list(details.in_shape)} is too large to be shown.")
    if not details.cut:
        _tensor(f"contribution to ∂/∂{details.tail}", details.contribution, "none")
    share = "norm of the contribution over that of the cotangent that arrived"
    gain = "" if details.gain is None else f"{number_text(details.gain)} ({share})"
    _facts({"gain": gain})
    if details.check is not None:
        _check("local partial", details.check)
        _facts({"line": details.check.source})


def _heading(name: str, remark: str) -> None:
    st.html(
        f'<div style="font-size: 1.35rem; font-weight: 600; overflow-wrap: anywhere">{html.escape(name)}</div>'
        f'<div style="opacity: 0.75; font-size: 0.9rem; overflow-wrap: anywhere">{html.escape(remark)}</div>'
    )


def _tensor(what: str, value: Tensor | None, otherwise: str) -> None:
    head = f'<div style="opacity: 0.75; font-size: 0.85rem">{html.escape(what)}</div>'
    st.html(head + (html.escape(otherwise) if value is None else tensor_html(value, what)))


def _check(what: str, entry: Checked) -> None:
    """The verdict, with sympy's number beside torch's."""
    numbers = ""
    if entry.autograd is not None:
        torchs, truth = "torch" if what == "value" else "autograd", "sympy" if entry.method == "symbolic" else "reference"
        reference = "" if entry.reference is None else digits_text(entry.reference)
        pair = {torchs: digits_text(entry.autograd), truth: reference}
        rows = "".join(f"<tr><td>{name}</td><td>{number}</td></tr>" for name, number in pair.items())
        numbers = f'<table style="font-variant-numeric: tabular-nums; font-size: 0.85rem">{rows}</table>'
    remark = f'<div style="opacity: 0.75; font-size: 0.85rem">{html.escape(entry.reason)}</div>' if entry.reason else ""
    verdict = f"<b>{MARKS[entry.verdict]} {entry.verdict}</b> {html.escape(f'{what} {entry.place}'.rstrip())}"
    st.html(f'<div class="gradviz-verdict {entry.verdict}">{verdict}{numbers}{remark}</div>')


def _facts(facts: dict[str, str]) -> None:
    told = {name: html.escape(text) for name, text in facts.items() if text}
    lines = "".join(f"<div><span style='opacity: 0.75'>{name}</span> {text}</div>" for name, text in told.items())
    if lines:
        st.html(f'<div style="font-size: 0.85rem; overflow-wrap: anywhere">{lines}</div>')
