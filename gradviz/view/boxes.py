"""The calls that were opened -> boxes around what was in them, one inside the other as the calls are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from gradviz.recording.scopes import ScopePath, common
from gradviz.view.closing import exact
from gradviz.view.drawn import Drawn
from gradviz.view.model import ViewBox
from gradviz.view.titles import class_of, classes_in


def boxes_of(drawn: Drawn, shapes: Iterable[tuple[str, int, int | None]]) -> tuple[ViewBox, ...]:
    """The boxes of a picture.

    An input that only what is in a box uses stands in it too.

    Args:
        drawn: what is drawn, with the calls that were opened.
        shapes: (id on the picture, number in the drawn graph, its only user where it is drawn once for each).
    """
    if not drawn.opened:
        return ()
    opened = set(drawn.opened)
    calls: dict[int, ScopePath] = {}
    for node, attributes in drawn.quotient.graph.nodes(data=True):
        if node in drawn.quotient.groups:
            members = (member for block in drawn.quotient.groups[node].blocks for member in block)
            calls[node] = _innermost(opened, common([drawn.whole.nodes[member]["scope"] for member in members]))
        elif attributes["kind"] == "op":
            calls[node] = _innermost(opened, attributes["scope"])
    inside: dict[ScopePath, list[str]] = {call: [] for call in drawn.opened}
    for name, node, user in shapes:
        call = calls.get(node)
        if call is None:
            users = drawn.quotient.graph.successors(node) if user is None else [user]
            call = _innermost(opened, common([calls.get(head, ()) for head in users]))
        if call:
            inside[call].append(name)
    names = {name for _, scope in drawn.whole.nodes(data="scope") for name in scope}
    return tuple(_boxes(drawn.opened, inside, names, classes_in(drawn.whole)))


def contents(boxes: Sequence[ViewBox]) -> dict[str, set[str]]:
    """The id of each box -> the shapes in it and in the boxes in it."""
    inside = {box.id: set(box.members) for box in boxes}
    for box in reversed(boxes):
        if box.parent:
            inside[box.parent] |= inside[box.id]
    return inside


def _innermost(opened: set[ScopePath], scope: ScopePath) -> ScopePath:
    """The innermost opened call around a scope; () where there is none."""
    return next((scope[:length] for length in range(len(scope), 0, -1) if scope[:length] in opened), ())


def _boxes(
    opened: Sequence[ScopePath],
    inside: Mapping[ScopePath, Sequence[str]],
    names: Collection[str],
    classes: Mapping[str, str],
) -> Iterable[ViewBox]:
    """A box for each call in which, or in a call inside which, something is drawn."""
    used = {call[:length] for call, names in inside.items() if names for length in range(1, len(call) + 1)}
    ids: dict[ScopePath, str] = {}
    for call in (call for call in opened if call in used):
        ids[call] = f"box_{len(ids)}"
        parent = _innermost(set(ids), call[:-1])
        yield ViewBox(
            id=ids[call],
            name=exact(call[-1], names),
            members=tuple(inside[call]),
            parent=ids.get(parent, ""),
            called=class_of(call[-1:], classes),
        )
