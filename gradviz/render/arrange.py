"""The shapes of a view -> where they stand in DOT text: in boxes, and in columns that are read one after the other.

Graphviz lays out the parts of a graph that are not connected each by itself, and packs them in rows. So a column is a part
of its own: where an arrow would lead into it from another one, it starts at a tag with the name of the value instead, and
where the value is made another tag says in which columns it goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import graphviz

from gradviz.render.escape import escaped
from gradviz.render.theme import Theme
from gradviz.view import View, ViewBox
from gradviz.view.boxes import contents
from gradviz.view.columns import Carried, carried

COLUMN_GAP = 36
"""Points between columns."""
BOLD_WIDTH = 0.7
"""Of a letter of a title, relative to its size; on average it is a little less."""


def layout_attributes(view: View, theme: Theme) -> tuple[dict[str, str], dict[str, str]]:
    """The distances, of the graph and of its edges.

    A graph that Graphviz packs makes no room for the labels of edges between neighbouring rows, and halves the distance
    between neighbours. So every edge of it spans two rows of half the distance, which is what Graphviz does elsewhere.
    """
    if not view.columns:
        return {"ranksep": f"{theme.rank_gap:g}", "nodesep": f"{theme.node_gap:g}"}, {}
    packed = {"pack": f"{COLUMN_GAP}", "packmode": f"array_tu{len(view.columns)}"}
    return {"ranksep": f"{theme.rank_gap / 2:g}", "nodesep": f"{2 * theme.node_gap:g}", **packed}, {"minlen": "2"}


def add_shapes(graph: graphviz.Digraph, view: View, shapes: Mapping[str, dict[str, str]], theme: Theme) -> None:
    """Writes every shape into the box and the column where it stands.

    Args:
        graph: grows.
        view: with the boxes and the columns.
        shapes: id -> attributes of a node of Graphviz.
        theme: for boxes and tags.
    """
    if not view.columns:
        _add_part(graph, view, shapes, theme, {})
        return
    values = carried(view.columns, view.arrows)
    names = {node.id: node.name for node in view.nodes} | {group.id: group.title for group in view.groups}
    for place, members in enumerate(view.columns):
        with graph.subgraph(name=f"cluster_column_{place}") as column:
            column.attr(label=f"column {place + 1}", sortv=f"{place}", **_column_attributes(theme))
            onward = {value.shape: _onward_text(value, names) for value in values if value.column == place}
            _add_part(column, view, {name: shapes[name] for name in members}, theme, onward)
            for value in values:
                if place in value.readers:
                    _add_tag(column, _coming(value.shape, place), _coming_text(value, names), theme)
    for value in values:
        graph.edge(value.shape, _onward(value.shape), **_tag_edge_attributes(theme))


def tail_in(view: View) -> dict[tuple[str, str], str]:
    """Arrow -> where it starts, if that is a tag."""
    column = {shape: place for place, members in enumerate(view.columns) for shape in members}
    return {
        (tail, head): _coming(tail, column[head])
        for tail, head in view.arrows
        if column and column[tail] != column[head]
    }


def _onward_text(value: Carried, names: Mapping[str, str]) -> str:
    places = [str(reader + 1) for reader in value.readers]
    columns = f"column{'' if len(places) == 1 else 's'} {', '.join(places)}"
    return f"<<B>{escaped(names.get(value.shape, '⋯'))}</B> goes on in {columns}>"


def _coming_text(value: Carried, names: Mapping[str, str]) -> str:
    return f"<<B>{escaped(names.get(value.shape, '⋯'))}</B> from column {value.column + 1}>"


def _onward(shape: str) -> str:
    return f"onward_{shape}"


def _coming(shape: str, column: int) -> str:
    return f"coming_{column}_{shape}"


def _add_part(
    graph: graphviz.Digraph, view: View, shapes: Mapping[str, dict[str, str]], theme: Theme, onward: Mapping[str, str]
) -> None:
    """Some of the shapes, with the boxes that they are in.

    Args:
        graph: grows.
        view: with the boxes.
        shapes: id -> attributes, of those that stand here.
        theme: for boxes and tags.
        onward: id -> what is said of those that go on in other columns.
    """
    boxed = {name for box in view.boxes for name in box.members}
    _add_members(graph, [name for name in shapes if name not in boxed], shapes, theme, onward)
    inside = contents(view.boxes)
    wanted = {box for box, names in inside.items() if not names.isdisjoint(shapes)}
    _add_boxes(graph, "", view, wanted, shapes, theme, onward)


def _add_boxes(
    graph: graphviz.Digraph,
    parent: str,
    view: View,
    wanted: Collection[str],
    shapes: Mapping[str, dict[str, str]],
    theme: Theme,
    onward: Mapping[str, str],
) -> None:
    """Graphviz keeps what stands in a subgraph together where its name begins with `cluster`, and draws a box around it."""
    for box in view.boxes:
        if box.parent == parent and box.id in wanted:
            with graph.subgraph(name=f"cluster_{box.id}") as inside:
                inside.attr(label=_title(box, view, theme), id=box.id, **_box_attributes(theme))
                if view.columns:
                    inside.attr(labelloc="b")  # not where the heading of the column is
                _add_members(inside, box.members, shapes, theme, onward)
                _add_boxes(inside, box.id, view, wanted, shapes, theme, onward)


def _title(box: ViewBox, view: View, theme: Theme) -> str:
    """The title of a box, with as much room beside it where an arrow leaves the box through the edge on which it stands.

    Graphviz lets arrows pass over titles. It puts what is narrower than the box in the middle, so that an arrow from there
    passes beside the title.
    """
    text = f"<B>{escaped(box.title)}</B>"
    inside, elsewhere = contents(view.boxes)[box.id], tail_in(view)
    leaves = any(arrow[0] in inside and arrow[1] not in inside and arrow not in elsewhere for arrow in view.arrows)
    if view.direction != "BT" or not leaves:
        return f"<{text}>"
    room = f'<TD WIDTH="{len(box.title) * theme.node_size * BOLD_WIDTH:.0f}"></TD>'
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR><TD>{text}</TD>{room}</TR></TABLE>>'


def _add_members(
    graph: graphviz.Digraph,
    members: Iterable[str],
    shapes: Mapping[str, dict[str, str]],
    theme: Theme,
    onward: Mapping[str, str],
) -> None:
    """The tag of what goes on stands in the same box: an arrow that left the box for it would cross the box's title."""
    for name in members:
        graph.node(name, **shapes[name])
        if name in onward:
            _add_tag(graph, _onward(name), onward[name], theme)


def _add_tag(graph: graphviz.Digraph, tag: str, text: str, theme: Theme) -> None:
    graph.node(tag, label=text, id=tag, **_tag_attributes(theme))


def _box_attributes(theme: Theme) -> dict[str, str]:
    colours = {"color": theme.group.border, "fontcolor": theme.faint}
    return {
        "class": "box",
        "style": "rounded",
        "labeljust": "l",
        "fontsize": f"{theme.node_size:g}",
        "margin": "12",
        "penwidth": f"{theme.line_width:g}",
        "peripheries": "1",  # a column around it has none
        **colours,
    }


def _column_attributes(theme: Theme) -> dict[str, str]:
    """The heading stands where reading starts: from the bottom up what Graphviz calls the top is below."""
    heading = {"labelloc": "t", "labeljust": "c", "fontsize": f"{theme.node_size:g}", "fontcolor": theme.faint}
    return {"peripheries": "0", "margin": "0", "class": "column", **heading}


def _tag_attributes(theme: Theme) -> dict[str, str]:
    return {"shape": "plaintext", "style": "", "fontcolor": theme.faint, "class": "tag"}


def _tag_edge_attributes(theme: Theme) -> dict[str, str]:
    return {"style": "dotted", "color": theme.faint, "class": "tag", "weight": "8"}
