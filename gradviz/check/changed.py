"""Which nodes read memory that was changed in place since the trace: nothing is known any more of what they computed.

Leaves of more than 1 MiB and constants are not copied, nor are views of them: an optimizer step changes what a graph holds.
torch counts the writes to a tensor, but for those through `.data`: the graph keeps the count of each at the time of the
trace, and some of its elements.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.check.heads import HeadUnderCheck
from gradviz.graph import GradGraph
from gradviz.opcall import OpCall
from gradviz.recording.versions import memory_of
from gradviz.standin import StandIn


class Changed:
    """The memory of a graph's leaves and constants that was written to since the trace, as far as it shows."""

    def __init__(self, graph: GradGraph) -> None:
        self._names: dict[int, str] = {}
        for node, state in graph.states().items():
            value = graph.nodes[node]["value"]
            if state.is_lost_in(value):
                self._names[memory_of(value)] = graph.nodes[node]["name"]

    @property
    def any_name(self) -> str:
        """The name of one of them; "" where nothing was changed."""
        return next(iter(self._names.values()), "")

    def why_changed(self, head: HeadUnderCheck) -> str:
        """Why nothing can be checked of a node; "" where it read nothing that was changed."""
        if not self._names:
            return ""
        names = (self._names.get(memory_of(tensor)) for tensor in _read(head) if not isinstance(tensor, StandIn))
        name = next((name for name in names if name is not None), "")
        return name and f"{name} was changed in place since the trace; trace again"


def _read(head: HeadUnderCheck) -> Iterator[Tensor]:
    """The tensors that the calls of a node read, and its values, which may look at the same memory."""
    calls: tuple[OpCall, ...] = head.inner_calls if head.call is None else (head.call, *head.inner_calls)
    for call in calls:
        yield from (argument.tensor for argument in call.tensor_arguments())
    yield from (value for value in head.outputs.values() if value is not None)
    yield from (one for edge in head.edges for one in edge.comparison.read)
