"""What one visitor does with one graph: selected, opened and closed; kept in their session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from gradviz.graph import GradGraph
from gradviz.view import Folding, View

_numbers = count(1)


@dataclass(slots=True, kw_only=True)
class Exploring:
    """The state of an explorer.

    Attributes:
        selected: the id of a view node, edge, group or box, or "".
        given: changes whenever the page, and not the browser, selects something; no two are the same.
        folding: what was opened and closed.
        around: the name of a node, where only the part around it is to be drawn, or "".
        toggled: what was opened or closed last and is not selected yet, or "".
        narrow: whether the canvas has room for two shapes beside each other at most, as on a phone; the browser tells.
        drawn: `given`, `folding` and `around` of what the canvas shows.
    """

    selected: str = ""
    given: int = field(default_factory=lambda: next(_numbers))
    folding: Folding = field(default_factory=Folding)
    around: str = ""
    toggled: str = ""
    narrow: bool = False
    drawn: tuple[int, Folding, str] = (0, Folding(), "")

    @property
    def is_drawn(self) -> bool:
        """Whether the canvas shows what is selected and open."""
        return self.drawn == self.wanted

    @property
    def wanted(self) -> tuple[int, Folding, str]:
        """What the canvas is to show."""
        return (self.given, self.folding, self.around)

    def select(self, view_id: str) -> None:
        """Selects something on the canvas from outside of it."""
        self.selected = view_id
        self.given = next(_numbers)

    def open(self, name: str) -> None:
        """Opens a group."""
        self.folding, self.toggled = self.folding.opened(name), name

    def close(self, name: str, graph: GradGraph) -> None:
        """Closes a call."""
        self.folding, self.toggled = self.folding.closed(name, graph), name

    def settle(self, view: View) -> None:
        """Selects what became of what was opened or closed last: its box, or the group that it is in."""
        if self.toggled:
            boxes = (box.id for box in view.boxes if box.name == self.toggled)
            groups = (group.id for group in view.groups if self.toggled in group.opens)
            self.select(next(boxes, next(groups, "")))
            self.toggled = ""

    def go_to(self, node: int, view: View, graph: GradGraph) -> None:
        """Selects a node; one that is not drawn is unfolded, or, in what does not open, drawn with its surroundings."""
        name = str(graph.nodes[node]["name"])
        if any(node in group.nodes and group.opens for group in view.groups):
            self.folding = self.folding.opened(name)
        elif all(shape.node != node for shape in view.nodes):
            self.around = name
        self.select(f"node_{node}")

    def happened(self, event: Mapping[str, Any], graph: GradGraph) -> None:
        """What was done on the canvas, which shows a selection by itself; what else a browser may send is passed over."""
        match event.get("kind"), event.get("what"):
            case "select", str(view_id):
                self.selected = view_id
            case "narrow", bool(narrow):
                self.narrow = narrow
            case "unfold", str(name):
                self.open(name)
            case "fold", str(name):
                self.close(name, graph)
