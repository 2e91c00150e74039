"""What is on a picture -> the notes below it: what is left out, drawn as one or told elsewhere, and how to see it."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.attributes import not_kept
from gradviz.view.by_name import on_picture
from gradviz.view.notation import listed
from gradviz.view.shown import Shown
from gradviz.view.summary import HEAT_NOTE
from gradviz.view.told import told_elsewhere

HOW_TO_OPEN = "option unfold opens one by name, collapse “none” all"
"""Of the groups on a picture, for those who call the library or the command line; the app has buttons in its place."""
OPEN_ALREADY = "open already, without unfold"
NOT_ON_PICTURE = "to be unfolded, but not on this picture"
"""Before names that `unfold` is given for nothing."""


def notes_of(shown: Shown, *, with_labels: bool, with_calls: bool, with_heat: bool) -> Iterator[str]:
    """The notes, the most important first.

    Args:
        shown: what is on the picture.
        with_labels: whether all its edges are labelled.
        with_calls: whether it says what calls do.
        with_heat: whether it has heat maps.
    """
    drawn, whole = shown.drawn, shown.drawn.whole
    groups = [shown.groups[node] for node in shown.order if node in shown.groups]
    inside, total = sum(len(group.nodes) for group in groups), len(whole)
    if drawn.focus is not None:
        yield f"only {drawn.focus.what}: {len(drawn.focus.nodes):,} of {total:,} nodes"
    if any(group.opens in drawn.cut for group in groups):
        yield "what is written on a group is that of its whole call, also where only a part of it is in focus"
    if len(shown.order) < len(shown.graph):
        first = f" and the first {shown.first}" if shown.first else ""
        count = len(shown.order) - len(groups) + inside
        yield f"showing {count:,} of {total:,} nodes: those nearest to the output{first}"
    if shown.groups:
        yield f"{inside:,} of {total:,} nodes are inside groups; {HOW_TO_OPEN}"
    yield from _unfolded_for_nothing(shown, with_calls=with_calls)
    if not with_labels:
        yield f"edge labels left out: there are {shown.arrows:,} edges"
    repeated = [shown.graph.nodes[node] for node in shown.users]
    if names := [attributes["name"] for attributes in repeated if attributes["kind"] != "constant"]:
        yield f"drawn once per use: {listed(names)}"
    users = drawn.quotient.graph.successors
    for how, told in shown.told.ways:
        if names := [whole.nodes[node]["name"] for node in sorted(told) if shown.nodes.intersection(users(node))]:
            yield f"{how}: {listed(names)}"
    if with_heat:
        yield HEAT_NOTE
    if missing := not_kept(whole):
        yield f"kept as statistics: {missing}"


def _unfolded_for_nothing(shown: Shown, *, with_calls: bool) -> Iterator[str]:
    drawn, groups = shown.drawn, shown.nodes & set(shown.groups)
    names = [drawn.whole.nodes[node]["name"] for node in sorted(drawn.named)]
    names = list(dict.fromkeys([*drawn.already, *names]))
    inside = {node for group in groups for node in shown.groups[group].nodes}
    there = on_picture(names, shown.nodes - groups, inside, drawn.wires)
    if already := [name for name in drawn.already if name in there and not _is_told(shown, name, with_calls=with_calls)]:
        yield f"{OPEN_ALREADY}: {listed(already)}"
    if missing := [name for name in names if name not in there]:
        yield f"{NOT_ON_PICTURE}: {listed(missing)}"


def _is_told(shown: Shown, name: str, *, with_calls: bool) -> bool:
    """Whether a leaf or constant would be told by what reads it, were it not unfolded by its name."""
    named = [node for node in shown.drawn.named if shown.drawn.whole.nodes[node]["name"] == name]
    told = told_elsewhere(shown.drawn.quotient.graph, shown.repeated.intersection(named), with_calls=with_calls)
    return bool(told.in_groups or told.in_parts)
