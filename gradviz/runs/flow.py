"""What flows back through the calls of modules in one backward pass: hooks on autograd's nodes listen to the user's own.

A node lies in the calls of modules that were open when it was made. Where an edge leads out of a call, what it carries
leaves the call through its inputs, unless it goes straight to a parameter; what several such edges bring to the same place
is added up first. Nothing is changed and, where a single edge leads there, nothing is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.recording.nodes import sequence_number
from gradviz.runs.plain import plain, reading
from gradviz.statistics import norm_of

Gradients = tuple[Tensor | None, ...]
Place = tuple["ModuleCall", int, int]
"""A call that is left, and the node and output that what leaves it goes to."""


class ModuleCall:
    """One call of a module, while it is watched.

    Attributes:
        path: the module's dotted path.
        kind: its class.
        around: the calls that it lies in, from the outside in, itself last.
        arriving, leaving: the squared norms of the cotangents that came back to it and that it handed on, if any.
    """

    __slots__ = ("around", "arriving", "kind", "leaving", "path")

    def __init__(self, path: str, kind: str, around: tuple[ModuleCall, ...]) -> None:
        self.path = path
        self.kind = kind
        self.around = (*around, self)
        self.arriving: float | None = None
        self.leaving: float | None = None


class Flow:
    """Listens to every backward pass through the nodes of one forward pass, until it is closed.

    Attributes:
        passes: how many backward passes there were.
        broken: the number of the first node that handed on something not finite; None where none did.
        made_here: whether it was handed finite cotangents.
        has_nan: whether it handed on a NaN.
    """

    def __init__(
        self,
        roots: Iterable[Node],
        calls: Mapping[int, tuple[ModuleCall, ...]],
        returned: Mapping[tuple[int, int], list[ModuleCall]],
    ) -> None:
        """Hooks the nodes that `roots` reach.

        Args:
            roots: the nodes of the tensors that are left of the forward pass.
            calls: number of each node that was made in it -> the calls that it lies in.
            returned: number of a node and its output -> the calls that returned that tensor.
        """
        self.broken: int | None = None
        self.made_here = self.has_nan = False
        self._passes: set[int] = set()
        self._returned = returned
        self._edges_to: dict[Place, int] = {}
        self._sums: dict[Place, tuple[int, Tensor | None]] = {}
        self._handles = []
        for node, number, leaving in self._edges(roots, calls):
            self._handles.append(node.register_hook(self._listener(number, leaving)))

    @property
    def passes(self) -> int:
        return len(self._passes)

    def close(self) -> None:
        """Stops listening, and counts in what is still waiting for an edge that no backward pass came along."""
        for handle in self._handles:
            handle.remove()
        self._count_out(list(self._sums))

    def _edges(
        self, roots: Iterable[Node], calls: Mapping[int, tuple[ModuleCall, ...]]
    ) -> list[tuple[Node, int, list[tuple[int, Place]]]]:
        """Each node of the pass with its number and, by slot, the calls that its contributions leave."""
        found = []
        numbers: dict[Node, int] = {}
        seen: set[Node] = set()
        pending = list(roots)
        while pending:
            node = pending.pop()
            number = sequence_number(node)
            if node in seen or number not in calls:
                continue
            seen.add(node)
            leaving: list[tuple[int, Place]] = []
            for slot, (tail, output) in enumerate(node.next_functions):
                if tail is None or isinstance(getattr(tail, "variable", None), torch.nn.Parameter):
                    continue
                pending.append(tail)
                there = calls.get(sequence_number(tail), ())
                for call in calls[number]:
                    if call not in there:
                        place = (call, numbers.setdefault(tail, len(numbers)), output)
                        self._edges_to[place] = self._edges_to.get(place, 0) + 1
                        leaving.append((slot, place))
            found.append((node, number, leaving))
        return found

    def _listener(self, number: int, leaving: list[tuple[int, Place]]) -> Callable[[Gradients, Gradients], None]:
        def listen(contributions: Gradients, cotangents: Gradients) -> None:
            self._enter_pass(torch._C._current_graph_task_id())
            with reading():
                for output, cotangent in enumerate(cotangents):
                    for call in self._returned.get((number, output), ()):
                        call.arriving = _added(call.arriving, cotangent)
                for slot, place in leaving:
                    self._add(place, contributions[slot])
                if self.broken is None:
                    self._look(number, contributions, cotangents)

        return listen

    def _enter_pass(self, task: int) -> None:
        if task not in self._passes:
            self._count_out(list(self._sums))
            self._passes.add(task)

    def _look(self, number: int, contributions: Gradients, cotangents: Gradients) -> None:
        norms = [norm for norm in map(_norm, contributions) if not math.isfinite(norm)]
        if norms:
            self.broken, self.has_nan = number, any(map(math.isnan, norms))
            self.made_here = all(map(math.isfinite, map(_norm, cotangents)))

    def _add(self, place: Place, contribution: Tensor | None) -> None:
        """Counts in what one of the edges to a place carries."""
        seen, before = self._sums.pop(place, (0, None))
        numbers = None if contribution is None else plain(contribution)
        self._sums[place] = (seen + 1, numbers if before is None else before if numbers is None else before + numbers)
        if seen + 1 == self._edges_to[place]:
            self._count_out([place])

    def _count_out(self, places: Iterable[Place]) -> None:
        for place in places:
            _, total = self._sums.pop(place)
            place[0].leaving = _added(place[0].leaving, total)


def _added(square: float | None, cotangent: Tensor | None) -> float | None:
    """A squared norm with that of one more tensor."""
    return square if cotangent is None or plain(cotangent) is None else (square or 0.0) + _norm(cotangent) ** 2


def _norm(tensor: Tensor | None) -> float:
    numbers = None if tensor is None else plain(tensor)
    return 0.0 if numbers is None else norm_of(numbers)
