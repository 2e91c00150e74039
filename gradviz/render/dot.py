"""View -> DOT text. Text only: no process is started and nothing is measured.

Labels are written in Graphviz's HTML-like language, for bold names, coloured marks and heat maps. Every name that a
user chose goes through `escape.escaped`, so none can end a label, start a tag or be taken for one of Graphviz's own escapes.
Each node and edge has an `id` and a `class`, by which a page can find it; there are no links and no tooltips, which
would wrap shapes in `<a>`.
"""

from __future__ import annotations

import graphviz

from gradviz.render.arrange import add_shapes, layout_attributes, tail_in
from gradviz.render.escape import CONTROL, escaped
from gradviz.render.heat import cell_side, heat_frame, heat_png, heat_table
from gradviz.render.theme import FONTS, MARKS, SHAPES, Theme, theme_named
from gradviz.view import Direction, HeatMap, Verdict, View, ViewEdge, ViewGroup, ViewNode
from gradviz.view.ranks import spine

SMALL = 0.85
"""The size of a tensor's description, relative to its name."""
GROUP_LINE = 1.5
"""The width of a group's border, relative to others."""
STRONG = 2.2
"""The width of the arrow or border of what is wrong, relative to others."""
SPINE = 8
"""How much Graphviz cares that the arrows of the spine are straight, on a picture from the bottom up."""
LABEL_GAPS: dict[Direction, int] = {"LR": 2, "BT": 5}
"""Points around an edge's label, which stands above its arrow or, on a picture from the bottom to the top, right of it."""


def dot_source(view: View) -> str:
    """DOT text that stands alone: any Graphviz draws it.

    >>> from gradviz.view import ViewNode
    >>> node = ViewNode(id="node_0", node=0, role="leaf", name="x", value=("2",))
    >>> "<B>x</B> = 2" in dot_source(View(title="x", nodes=(node,), edges=()))
    True
    """
    theme = theme_named(view.theme)
    return _source(view, theme, {node.id: _table(node.heat, theme) for node in view.nodes if node.heat})


def dot_with_images(view: View) -> tuple[str, dict[str, bytes]]:
    """DOT text whose heat maps are images, and those images: file name -> PNG."""
    theme = theme_named(view.theme)
    heats = {node.id: node.heat for node in view.nodes if node.heat}
    images = {f"{node_id}.png": heat_png(heat) for node_id, heat in heats.items()}
    return _source(view, theme, {node_id: _image(heat, f"{node_id}.png", theme) for node_id, heat in heats.items()}), images


def _source(view: View, theme: Theme, heats: dict[str, str]) -> str:
    distances, of_edges = layout_attributes(view, theme)
    graph = graphviz.Digraph(
        name=graphviz.escape(CONTROL.sub("\ufffd", view.title)),
        graph_attr=_graph_attributes(view, theme) | distances,
        node_attr={"fontname": FONTS, "fontsize": f"{theme.node_size:g}", "fontcolor": theme.text, "style": "filled"}
        | {"margin": f"{0.009 * theme.node_size:.2f},{0.004 * theme.node_size:.2f}"}
        | {"penwidth": f"{theme.line_width:g}", "height": "0", "width": "0"},
        edge_attr={"fontname": FONTS, "fontsize": f"{theme.edge_size:g}", "fontcolor": theme.text, "color": theme.arrow}
        | {"penwidth": f"{theme.line_width:g}", "arrowsize": "0.8"}
        | of_edges,
    )
    shapes = {node.id: {"label": _node_label(node, theme, heats), **_node_attributes(node, theme)} for node in view.nodes}
    shapes |= {group.id: {"label": _group_label(group, theme), **_group_attributes(group, theme)} for group in view.groups}
    shapes |= {gap.id: {"label": gap.text, "id": gap.id, **_gap_attributes(theme)} for gap in view.gaps}
    add_shapes(graph, view, shapes, theme)
    straight = spine(view.shapes, view.arrows) if view.direction == "BT" else set()
    tails = tail_in(view)
    for edge in view.edges:
        arrow = edge.tail, edge.head
        attributes = _edge_attributes(edge, theme) | ({"weight": f"{SPINE}"} if arrow in straight else {})
        label = _edge_label(edge, theme, view.direction)
        graph.edge(tails.get(arrow, edge.tail), edge.head, label=label, **attributes)
    for gap in view.gaps:
        for tail, head in gap.arrows:
            graph.edge(tails.get((tail, head), tail), head, **_gap_edge_attributes(theme))
    source: str = graph.source
    return source


def _graph_attributes(view: View, theme: Theme) -> dict[str, str]:
    attributes = {
        "rankdir": view.direction,
        "bgcolor": theme.background,
        "fontname": FONTS,
        "fontsize": f"{theme.note_size:g}",
        "fontcolor": theme.faint,
        "pad": "0.15",
        "outputorder": "edgesfirst",
    }
    if view.notes:
        lines = "".join(f'{escaped(note)}<BR ALIGN="LEFT"/>' for note in view.notes)
        attributes |= {"label": f"<{lines}>", "labelloc": "b", "labeljust": "l"}
    return attributes


def _node_attributes(node: ViewNode, theme: Theme) -> dict[str, str]:
    paint = theme.paints[node.role if node.differentiable or node.role != "op" else "constant"]
    classes = [node.role, *([] if node.differentiable else ["no-gradient"]), *([node.verdict] if node.verdict else [])]
    return {
        "id": node.id,
        "class": " ".join(classes),
        "fillcolor": paint.fill,
        "color": theme.verdicts["mismatch"] if node.verdict == "mismatch" or node.trouble else paint.border,
        **({"penwidth": f"{theme.line_width * STRONG:g}"} if node.trouble else {}),
        **SHAPES[node.role],
    }


def _gap_attributes(theme: Theme) -> dict[str, str]:
    return {"shape": "plaintext", "style": "", "fontcolor": theme.faint, "class": "gap"}


def _gap_edge_attributes(theme: Theme) -> dict[str, str]:
    return {"style": "dotted", "color": theme.faint, "class": "gap"}


def _node_label(node: ViewNode, theme: Theme, heats: dict[str, str]) -> str:
    """The name and its function, the value, the heat map and the cotangent, one below the other."""
    scalar = len(node.value) == 1
    heading = f"<B>{escaped(node.name)}</B>"
    rows = []
    if node.call:
        heading += f" = {escaped(node.call)}"
        rows = [_text(f"= {line}" if scalar else line, theme, small=not scalar) for line in node.value]
    elif scalar:
        heading += f" = {escaped(node.value[0])}"
    else:
        rows = [_text(line, theme, small=True) for line in node.value]
    if node.verdict:
        heading += f" {_mark(node.verdict, theme)}"
    rows.insert(0, heading)
    if node.id in heats:
        rows.append(heats[node.id])
    if node.cotangent:
        rows.append(f'<FONT COLOR="{theme.backward}">{escaped(node.cotangent)}</FONT>')
    if node.hidden_inputs:
        inputs = "input" if node.hidden_inputs == 1 else "inputs"
        rows.append(_text(f"⋯ {node.hidden_inputs} {inputs} not shown", theme, small=True))
    return _rows(rows + _trouble(node.trouble, theme))


def _group_attributes(group: ViewGroup, theme: Theme) -> dict[str, str]:
    paint = theme.paints["constant"] if not group.differentiable else theme.paints["op"] if group.bare else theme.group
    bad = group.trouble or group.verdict == "mismatch"
    classes = ["group", *([] if group.differentiable else ["no-gradient"]), *([group.verdict] if group.verdict else [])]
    return {
        "id": group.id,
        "class": " ".join(classes),
        **(SHAPES["op"] if group.bare else {"shape": "box"}),
        "peripheries": "2" if group.count > 1 else "1",
        "fillcolor": paint.fill,
        "color": theme.verdicts["mismatch"] if bad else paint.border,
        "penwidth": f"{theme.line_width * (STRONG if group.trouble else GROUP_LINE):g}",
    }


def _group_label(group: ViewGroup, theme: Theme) -> str:
    """The name with its count, what is inside, the gradient, and what is wrong, one below the other."""
    count = f"{group.count:,} × " if group.count > 1 else ""
    mark = f" {_mark(group.verdict, theme)}" if group.verdict else ""
    rows = [f"{count}<B>{escaped(group.title)}</B>{mark}"]
    rows += [_text(line, theme, small=True) for line in group.lines]
    rows += [f'<FONT COLOR="{theme.backward}">{escaped(line)}</FONT>' for line in group.gradient]
    rows += _trouble(group.trouble, theme)
    return _rows(rows)


def _trouble(lines: tuple[str, ...], theme: Theme) -> list[str]:
    return [f'<FONT COLOR="{theme.verdicts["mismatch"]}">{escaped(line)}</FONT>' for line in lines]


def _rows(rows: list[str]) -> str:
    cells = "".join(row if row.startswith("<TR>") else f"<TR><TD>{row}</TD></TR>" for row in rows)
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">{cells}</TABLE>>'


def _edge_attributes(edge: ViewEdge, theme: Theme) -> dict[str, str]:
    colour = theme.verdicts[edge.verdict] if edge.verdict else theme.arrow
    width = theme.line_width * (STRONG if edge.verdict == "mismatch" else 1)
    classes = edge.verdict, "cut" if edge.cut else "", "trouble" if edge.trouble else ""
    attributes = {"id": edge.id, "class": " ".join(part for part in classes if part)}
    if edge.verdict:
        attributes |= {"color": colour, "penwidth": f"{width:g}"}
    if edge.cut:
        attributes |= {"style": "dashed", "color": theme.faint}
    if edge.trouble:
        attributes |= {"color": theme.verdicts["mismatch"], "penwidth": f"{theme.line_width * STRONG:g}"}
    return attributes


def _edge_label(edge: ViewEdge, theme: Theme, direction: Direction) -> str | None:
    """The derivative with its mark; below it the contribution, or why there is none."""
    first = escaped(edge.text)
    if edge.verdict and (edge.text or edge.verdict == "mismatch"):
        first = f"{first} {_mark(edge.verdict, theme)}".strip()
    reason = f"cut: {edge.cut}" if edge.cut not in ("", "constant") else ""
    correction = f'<FONT COLOR="{theme.verdicts["mismatch"]}">{escaped(edge.correction)}</FONT>' if edge.correction else ""
    flow = f'<FONT COLOR="{theme.faint}">{escaped(edge.flow)}</FONT>' if edge.flow else ""
    lines = [first, flow, correction, *_trouble(edge.trouble, theme), escaped(edge.contribution), escaped(reason)]
    ground = f'BGCOLOR="{theme.background}"'  # an arrow of another edge may pass behind
    rows = "".join(f"<TR><TD {ground}>{line}</TD></TR>" for line in lines if line)
    gap = f'CELLSPACING="{LABEL_GAPS[direction]}" CELLPADDING="0"'
    return f'<<TABLE BORDER="0" CELLBORDER="0" {gap}>{rows}</TABLE>>' if rows else None


def _mark(verdict: Verdict, theme: Theme) -> str:
    return f'<FONT COLOR="{theme.verdicts[verdict]}"><B>{MARKS[verdict]}</B></FONT>'


def _text(line: str, theme: Theme, *, small: bool) -> str:
    """A line of less weight than the name: smaller and fainter where `small`."""
    if not small:
        return escaped(line)
    return f'<FONT COLOR="{theme.faint}" POINT-SIZE="{theme.node_size * SMALL:.1f}">{escaped(line)}</FONT>'


def _table(heat: HeatMap, theme: Theme) -> str:
    return heat_table(heat, cell_side(heat, theme.heat_side))


def _image(heat: HeatMap, name: str, theme: Theme) -> str:
    """A row that holds the image `name` at the size that the table would have."""
    side = cell_side(heat, theme.heat_side)
    size = f'FIXEDSIZE="TRUE" WIDTH="{heat.columns * side}" HEIGHT="{heat.rows * side}"'
    return heat_frame(heat, side, f'<TR><TD {size}><IMG SRC="{name}" SCALE="BOTH"/></TD></TR>')
