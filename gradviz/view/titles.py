"""Names of calls -> how they are headed: with the module's class, where the name is only a number, as in a Sequential."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import networkx as nx

SEPARATOR = " · "


def classes_in(graph: nx.MultiDiGraph) -> dict[str, str]:
    """Dotted path of each module, as the scopes of a traced graph have it -> the name of its class."""
    classes: dict[str, str] = graph.graph.get("classes", {})
    return classes


def class_of(calls: Collection[str], classes: Mapping[str, str]) -> str:
    """The class of the modules that are called, where their own names are only numbers; "" else, or where they differ.

    Args:
        calls: names of calls, as in scopes.
        classes: dotted path of each module -> the name of its class.

    >>> class_of(["layers.0", "layers.1@2"], {"layers.0": "Block", "layers.1": "Block"}), class_of(["fc"], {"fc": "Linear"})
    ('Block', '')
    """
    paths = [call.partition("@")[0] for call in calls]
    if not all(path.rpartition(".")[2].isdecimal() for path in paths):
        return ""
    found = {classes.get(path, "") for path in paths}
    return found.pop() if len(found) == 1 else ""


def untitled(heading: str, classes: Mapping[str, str]) -> str:
    """The name of a call or a group that is headed so.

    >>> untitled("2 · Linear", {"2": "Linear"}), untitled("a · b", {"2": "Linear"}), untitled("fc", {})
    ('2', 'a · b', 'fc')
    """
    name, mark, called = heading.rpartition(SEPARATOR)
    return name if mark and called in classes.values() else heading


def titled(name: str, called: str) -> str:
    """
    >>> titled("0", "Linear"), titled("fc", "")
    ('0 · Linear', 'fc')
    """
    return f"{name}{SEPARATOR}{called}" if called else name
