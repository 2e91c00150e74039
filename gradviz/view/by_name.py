"""Names of groups as they are drawn -> names that `unfold` takes: `layers.1 … 5` -> `layers.1`, `layers.2` and so on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from gradviz.view.closing import matches
from gradviz.view.groups import Group
from gradviz.view.notation import shorten
from gradviz.view.wires import Wires

GROUP_NAME_LENGTH = 44
"""Of a group's name this many letters are drawn."""


def drawn_name(group: Group) -> str:
    """The name of a group as it is drawn."""
    return shorten(group.name, GROUP_NAME_LENGTH)


def unfolded_names(
    names: Collection[str], wires: Wires, groups_with: Callable[[Sequence[str]], Sequence[Group]]
) -> dict[str, tuple[str, ...]]:
    """What each of the names means: itself, or all that is in the groups of that name.

    Args:
        names: as `unfold` is given them; of calls, of nodes, patterns, or of groups as they are drawn.
        wires: of the whole graph.
        groups_with: the groups of the picture on which these names are unfolded.
    """
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in names}
    calls = {call for attributes in wires.attributes.values() for call in attributes["scope"]} if names else set()
    nodes = {attributes["name"] for attributes in wires.attributes.values()} if names else set()
    unknown = [name for name in found if name not in nodes and not any(matches(call, name) for call in calls)]
    known = [name for name in found if name not in unknown]
    drawn: dict[str, tuple[str, ...]] = {}
    for name in unknown:
        if name not in drawn:  # it may be drawn only where others are open
            drawn |= _opening(groups_with(known))
        found[name] = drawn.get(name, (name,))
        known += drawn.get(name, ())
    return found


def _opening(groups: Sequence[Group]) -> dict[str, tuple[str, ...]]:
    """Name of a group, whole and as it is drawn -> what opens it; several of one name are opened together."""
    found: dict[str, tuple[str, ...]] = {}
    for group in groups:
        for name in {group.name, drawn_name(group)}:
            found[name] = (*found.get(name, ()), *group.opens)
    return found


def on_picture(names: Collection[str], shapes: Collection[int], inside: Collection[int], wires: Wires) -> set[str]:
    """Those of the names that stand for something on the picture.

    Args:
        names: of nodes or calls, or patterns.
        shapes: the nodes that have a shape of their own.
        inside: the nodes that are in groups.
        wires: of the whole graph.
    """
    if not names:
        return set()
    drawn = {wires.attributes[node]["name"] for node in shapes}
    calls = {call for node in (*shapes, *inside) for call in wires.attributes[node]["scope"]}
    return {name for name in names if name in drawn or any(matches(call, name) for call in calls)}
