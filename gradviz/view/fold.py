"""What only makes a constant -> one constant: no memory before it is written, no `detach` of what was made just before.

Dropout runs as `empty_like`, `bernoulli_` and `div_`: three shapes for one mask. The graph keeps every call; on a picture
the last one stands for all of them and says what they did, `mask = bernoulli(0.5) / 0.5`. `torch.arange(3).detach()` is one
shape too. Only calls without gradient fold, on one line of the user's code, each read by the next and by nothing else, so no
value and no path is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from gradviz.attributes import unfilled
from gradviz.opcall import OVERWRITING, SAME_MEMORY, SHAPE_READING
from gradviz.view.calls import call_text, filling_text
from gradviz.view.labels import operands_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What a picture leaves out of a graph because another node stands for it.

    Attributes:
        hidden: nodes that are folded away.
        calls: node -> what it does, where that is not what its own call says.
        constants: ops that are drawn as the constants that they make; what they read is not drawn.
        uninitialised: nodes whose memory nobody has written yet.
    """

    hidden: frozenset[int] = frozenset()
    calls: Mapping[int, str] = field(default_factory=dict)
    constants: frozenset[int] = frozenset()
    uninitialised: frozenset[int] = frozenset()

    def chains_of(self, graph: nx.MultiDiGraph, names: Collection[str]) -> set[int]:
        """The nodes that are folded into the constants of these names, or have one of these names themselves."""
        found: set[int] = set()
        for node in self.calls if names else ():
            chain = [node]
            while (tail := _first_argument(graph, chain[-1])) in self.hidden:
                chain.append(tail)
            if any(graph.nodes[member]["name"] in names for member in chain):
                found.update(chain[1:])
        return found


def fold(graph: nx.MultiDiGraph, *, keep: Collection[int] = ()) -> Folded:
    """Folds the calls that make one constant into the last of them.

    Args:
        graph: a `GradGraph`; stays as it is.
        keep: nodes that are not folded away, for instance those with a mismatch.
    """
    did: dict[int, str] = {}  # node -> what its calls and those folded into it did
    made: set[int] = set()  # constants, and ops that only make one
    raw = unfilled(graph)
    hidden: set[int] = set()
    for node, attributes in graph.nodes(data=True):
        tail = _first_argument(graph, node) if _goes_on(attributes) else None
        if attributes["kind"] == "constant" and attributes["source"]:
            did[node] = ""
            made.add(node)
        elif _reads_only_a_shape(attributes):
            did[node] = call_text(attributes["op"], operands_of(graph, node), attributes["call"])
            made.add(node)
        elif tail in made and tail not in keep and _is_next(graph, tail, node):
            text = _continued(attributes, did[tail], operands_of(graph, node), is_raw=tail in raw)
            if text is not None:
                did[node] = text
                hidden.add(tail)
                made |= set() if attributes["requires_grad"] else {node}
    calls = {node: text for node, text in did.items() if graph.nodes[node]["kind"] == "op" and node not in hidden}
    return Folded(
        hidden=frozenset(hidden),
        calls=calls,
        constants=frozenset(made & set(calls)),
        uninitialised=frozenset(raw - hidden),
    )


def _reads_only_a_shape(attributes: Mapping[str, Any]) -> bool:
    """Whether a call takes nothing from its tensor but shape, dtype and device: `zeros_like(x)`, `x.new_empty(3)`."""
    return attributes["kind"] == "op" and not attributes["requires_grad"] and attributes["op"] in SHAPE_READING


def _goes_on(attributes: Mapping[str, Any]) -> bool:
    """Whether a call may go on with what its first argument holds: by handing it on, or by writing into it."""
    call = attributes["call"]
    return attributes["op"] in SAME_MEMORY or (call is not None and call.overload._schema.name.endswith("_"))


def _first_argument(graph: nx.MultiDiGraph, node: int) -> int | None:
    return next((tail for tail, _, key in graph.in_edges(node, keys=True) if key == 0), None)


def _is_next(graph: nx.MultiDiGraph, tail: int, node: int) -> bool:
    """Whether `node`, on the same line of code, is all that ever reads `tail`."""
    before, after = graph.nodes[tail], graph.nodes[node]
    return bool(graph.out_degree(tail) == 1 and before["source"] == after["source"] and not before["is_output"])


def _continued(attributes: Mapping[str, Any], before: str, operands: Mapping[int, str], *, is_raw: bool) -> str | None:
    """What was done up to this call, which goes on with a constant that `before` made; None where it does not fold."""
    op, call = attributes["op"], attributes["call"]
    if op in SAME_MEMORY and not attributes["requires_grad"]:
        return before
    if op in OVERWRITING and (is_raw or len(operands) == 1):
        return filling_text(op, operands, call)
    if len(operands) != 1 or not before or attributes["requires_grad"]:
        return None
    return call_text(op, {0: before}, call)
