"""The shapes of a view -> where they stand in DOT text: in boxes, and in columns that are read one after the other.

Graphviz lays out the parts of a graph that are not connected each by itself, and packs them in rows. So a column is a part
of its own: where an arrow would lead into it from another one, it starts at a tag with the name of the value instead, and
where the value is made another tag says in which columns it goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import graphviz

from gradviz.render.escape import escaped
from gradviz.render.theme import Theme
from gradviz.view import View
from gradviz.view.boxes import contents
from gradviz.view.columns import Carried, carried

COLUMN_GAP = 36
"""Points between columns."""


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
        _add_part(graph, view, shapes, set(shapes), theme)
        return
    values = carried(view.columns, view.arrows)
    names = {node.id: node.name for node in view.nodes} | {group.id: group.title for group in view.groups}
    for place, members in enumerate(view.columns):
        with graph.subgraph(name=f"cluster_column_{place}") as column:
            column.attr(label=f"column {place + 1}", sortv=f"{place}", **_column_attributes(theme))
            _add_part(column, view, shapes, set(members), theme)
            for value in values:
                for tag, text in _tags(value, place, names.get(value.shape, "⋯")):
                    column.node(tag, label=text, id=tag, **_tag_attributes(theme))
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


def _tags(value: Carried, place: int, name: str) -> Iterator[tuple[str, str]]:
    """The id and the label of each tag of a value that stands in a column."""
    if place == value.column:
        places = [str(reader + 1) for reader in value.readers]
        columns = f"column{'' if len(places) == 1 else 's'} {', '.join(places)}"
        yield _onward(value.shape), f"<<B>{escaped(name)}</B> goes on in {columns}>"
    if place in value.readers:
        yield _coming(value.shape, place), f"<<B>{escaped(name)}</B> from column {value.column + 1}>"


def _onward(shape: str) -> str:
    return f"onward_{shape}"


def _coming(shape: str, column: int) -> str:
    return f"coming_{column}_{shape}"


def _add_part(
    graph: graphviz.Digraph, view: View, shapes: Mapping[str, dict[str, str]], members: Collection[str], theme: Theme
) -> None:
    """Some of the shapes, with the boxes that they are in."""
    boxed = {name for box in view.boxes for name in box.members}
    for name, attributes in shapes.items():
        if name in members and name not in boxed:
            graph.node(name, **attributes)
    inside = contents(view.boxes)
    _add_boxes(graph, "", view, {box for box, names in inside.items() if not names.isdisjoint(members)}, shapes, theme)


def _add_boxes(
    graph: graphviz.Digraph,
    parent: str,
    view: View,
    wanted: Collection[str],
    shapes: Mapping[str, dict[str, str]],
    theme: Theme,
) -> None:
    """Graphviz keeps what stands in a subgraph together where its name begins with `cluster`, and draws a box around it."""
    for box in view.boxes:
        if box.parent == parent and box.id in wanted:
            with graph.subgraph(name=f"cluster_{box.id}") as inside:
                inside.attr(label=f"<<B>{escaped(box.title)}</B>>", id=box.id, **_box_attributes(theme))
                if view.columns:
                    inside.attr(labelloc="b")  # not where the heading of the column is
                for name in box.members:
                    inside.node(name, **shapes[name])
                _add_boxes(inside, box.id, view, wanted, shapes, theme)


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
