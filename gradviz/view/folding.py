"""What a reader opens and closes on a picture, one call after the other -> the options of the next picture."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx

from gradviz.recording.scopes import ScopePath
from gradviz.view.closing import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Folding:
    """The options `unfold` and `fold` of a view.

    >>> import gradviz, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> graph = gradviz.trace(model, torch.ones(2), device="cpu")
    >>> Folding().closed("0", graph)
    Folding(unfold=(), fold=('0',))
    >>> Folding().closed("0", graph).opened("0")
    Folding(unfold=(), fold=())
    """

    unfold: tuple[str, ...] = ()
    fold: tuple[str, ...] = ()

    def opened(self, name: str) -> Folding:
        """With one more group open: `name` is one of `ViewGroup.opens`, or a node's name."""
        if name in self.fold:
            return Folding(unfold=self.unfold, fold=tuple(other for other in self.fold if other != name))
        return Folding(unfold=tuple(dict.fromkeys([*self.unfold, name])), fold=self.fold)

    def closed(self, name: str, graph: nx.MultiDiGraph) -> Folding:
        """With a call closed, and whatever is open in it; what it lies in stays open."""
        named = {str(attributes["name"]): attributes["scope"] for _, attributes in graph.nodes(data=True)}
        calls = {scope[:length] for scope in set(named.values()) for length in range(1, len(scope) + 1)}
        closing = {call for call in calls if matches(call[-1], name)}

        def is_inside(other: str) -> bool:
            scopes = [named[other]] if other in named else [call for call in calls if matches(call[-1], other)]
            return any(_passes(scope, closing) for scope in scopes)

        kept = [other for other in self.unfold if not is_inside(other)]
        if len(kept) == len(self.unfold):
            return Folding(unfold=self.unfold, fold=tuple(dict.fromkeys([*self.fold, name])))
        around = sorted({call[-2] for call in closing if len(call) > 1})
        return Folding(unfold=tuple(dict.fromkeys([*kept, *around])), fold=self.fold)


def _passes(scope: ScopePath, calls: set[ScopePath]) -> bool:
    return any(scope[:length] in calls for length in range(1, len(scope) + 1))
