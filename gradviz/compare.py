"""Two graphs of the same code -> where their numbers part: the first value, and going back the first cotangent.

The same model traced at two steps, in two dtypes, or on CPU and CUDA has the same nodes in the same order. Where one has
calls more, as a dropout, a cast or a copy, or others in their place, as another activation or two layers that are swapped,
these are told, and the others are compared (`alignment`), whatever numbers that gives to the layers behind them. Where the
structure differs otherwise, as calls that both have read other values, the comparison ends at the first node that does.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from gradviz.alignment import Alignment, alignment, before, not_leaves, paired_leaves, renamed_leaves
from gradviz.attributes import unfilled
from gradviz.errors import InputError
from gradviz.graph import GradGraph
from gradviz.saved.write import LOADED
from gradviz.standin import is_kept, statistics_kept

What = Literal["value", "cotangent", "structure"]
NAMED = 5
"""How many leaves or calls a sentence names, and how many places with other calls are told."""
COARSEST = 0.1
"""The largest tolerance that is taken without being asked for: a thousand roundings of half precision are all there is."""
Compared = tuple[What, int, int, str, Tensor | None, Tensor | None]
"""What of which nodes of the first and the second graph, by what name, here and there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where two graphs differ.

    Attributes:
        what: "value", "cotangent" or "structure".
        node: in the first graph; None where only the second has one.
        name: of the node.
        source: the user's line.
        relative: the largest difference over the largest magnitude; infinite where only one is finite.
        message: what differs, in a sentence.
    """

    what: What
    node: int | None
    name: str
    source: str
    relative: float
    message: str

    def to_dict(self) -> dict[str, Any]:
        """The attributes as `gradviz.schema` describes them."""
        relative = self.relative if math.isfinite(self.relative) else "inf"
        return {name: getattr(self, name) for name in self.__slots__} | {"relative": relative}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two graphs have in common and where they part.

    Attributes:
        differences: those above the tolerance: values in forward order, then cotangents in the engine's order.
        compared: how many tensors were compared.
        skipped: how many were not, because one side does not hold them.
        summed: how many of those compared were compared by statistics, because one side kept only these: equal statistics
            are no proof of equal elements.
        rtol: the tolerance.
    """

    differences: tuple[Difference, ...]
    compared: int
    skipped: int
    rtol: float
    summed: int = 0

    @property
    def same(self) -> bool:
        """Whether nothing differs of what both sides hold."""
        return not self.differences

    @property
    def first_value(self) -> Difference | None:
        """The first value, in forward order, that differs."""
        return next((found for found in self.differences if found.what == "value"), None)

    @property
    def first_cotangent(self) -> Difference | None:
        """The first cotangent, in the backward pass's order, that differs."""
        return next((found for found in self.differences if found.what == "cotangent"), None)

    @property
    def structure(self) -> Difference | None:
        """Where the graphs are first not of the same calls; None where they have the same structure."""
        return next((found for found in self.differences if found.what == "structure"), None)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as `gradviz.schema` describes it; for JSON."""
        firsts = {name: getattr(self, name) for name in ("first_value", "first_cotangent", "structure")}
        return {
            "same": self.same,
            **{name: None if found is None else found.to_dict() for name, found in firsts.items()},
            "differences": [found.to_dict() for found in self.differences],
            **{name: getattr(self, name) for name in ("compared", "skipped", "summed", "rtol")},
        }

    def __str__(self) -> str:
        skipped = f", {self.skipped} not compared: one side does not hold them" if self.skipped else ""
        summed = f", {self.summed} of them by their statistics only" if self.summed else ""
        head = f"{self.compared} tensors compared to a relative {self.rtol:.3g}{summed}{skipped}"
        if not self.differences:
            return f"{head}: no difference"
        structural = [found.message for found in self.differences if found.what == "structure"]
        shown = [found.message for found in (self.first_value, self.first_cotangent) if found is not None]
        shown += structural[:NAMED]
        shown += [f"and {len(structural) - NAMED} more such places"] if len(structural) > NAMED else []
        count = sum(found.what != "structure" for found in self.differences)
        told = f": {count or 'none'} differ{'s' * (count == 1)}" if self.compared or count else ""
        return "\n".join([f"{head}{told}", *shown])


def compare(first: GradGraph, second: GradGraph, *, rtol: float | None = None) -> Comparison:
    """Values and cotangents of two graphs of the same code, node by node; see `GradGraph.compare`."""
    if not isinstance(second, GradGraph):
        raise InputError(f"compare takes another graph, not a {type(second).__name__}; a file is read by gradviz.load(path)")
    first.require_numbers("a comparison")
    second.require_numbers("a comparison")
    if rtol is not None and (not isinstance(rtol, (int, float)) or not rtol >= 0):
        raise InputError(f"rtol is {rtol!r}; accepted: 0 or more")
    pairs = _pairs(first, second)
    structure = _first_structural(first, second, pairs)
    aligned = None if structure is None else alignment(first, second)
    if aligned is not None:
        structure, pairs = None, list(aligned.pairs)
    tolerance = _tolerance(first, second, None if aligned is None else pairs) if rtol is None else rtol
    found: list[Difference] = []
    compared = skipped = summed = 0
    for what, node, partner, name, one, other in _tensors_before(structure, first, second, pairs):
        if one is None or other is None:
            lost = _lost(first, second, what, node, partner, name, one, other)
            found += lost
            skipped += not lost and (one is None) != (other is None)
            continue
        by_elements = is_kept(one) and is_kept(other)
        relative = _relative(one, other) if by_elements else _relative_of_statistics(one, other)
        if relative is None:
            skipped += 1
            continue
        compared += 1
        summed += not by_elements
        if not relative <= tolerance:
            found.append(_difference(first, what, node, name, relative))
    found += _renamed(first, second)
    found += _in_between(first, second, aligned)
    found += [] if structure is None else [structure]
    return Comparison(differences=tuple(found), compared=compared, skipped=skipped, rtol=tolerance, summed=summed)


def _tensors_before(
    structure: Difference | None, first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]]
) -> Iterator[Compared]:
    """What the graphs have in common: values in forward order, then, where they part nowhere, cotangents going back."""
    if structure is None:
        backward = sorted(pairs, key=lambda pair: _place_in_backward(first, pair[0]))
        yield from _tensors("value", first, second, pairs)
        yield from _tensors("cotangent", first, second, backward)
    elif structure.node is not None:  # what comes back to the common part has gone other ways
        yield from _tensors("value", first, second, [pair for pair in pairs if pair[0] < structure.node])
    elif len(paired_leaves(first, second)) == len(first.leaves) == len(second.leaves):
        yield from _tensors("value", first, second, pairs)


def _place_in_backward(graph: GradGraph, node: int) -> int:
    place: int | None = graph.nodes[node]["backward_order"]
    return -1 if place is None else place


def _pairs(first: GradGraph, second: GradGraph) -> list[tuple[int, int]]:
    """Leaves as they are paired, all other nodes in their order."""
    leaves = paired_leaves(first, second)
    others = zip(not_leaves(first), not_leaves(second), strict=False)
    return sorted([*leaves, *others])


def _tolerance(first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]] | None) -> float:
    """A thousand roundings of the coarser dtype, `COARSEST` at most: what two orders of summation may make in a network.

    A cast that one graph alone has is not among `pairs`: what it rounds is a difference.
    """
    nodes = [*first.nodes.values(), *second.nodes.values()]
    if pairs is not None:
        nodes = [graph.nodes[node] for pair in pairs for graph, node in zip((first, second), pair, strict=True)]
    dtypes = {data["dtype"] for data in nodes if data["requires_grad"]}
    rounded = (dtype for dtype in dtypes if dtype.is_floating_point or dtype.is_complex)  # the positions of maxima are not
    return min(1000 * max((torch.finfo(dtype).eps for dtype in rounded), default=0.0), COARSEST)


def _first_structural(first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]]) -> Difference | None:
    leaves = paired_leaves(first, second)
    if not len(leaves) == len(first.leaves) == len(second.leaves):
        alone = [*_only("first", first, second), *_only("second", second, first)]
        return _of_the_whole(f"the graphs have different leaves: {', and '.join(alone)}; nothing else is compared")
    for place, (one, other) in enumerate(pairs):
        left, right = first.nodes[one], second.nodes[other]
        if told := _unlike(left, right):
            return _first_rewired(first, second, pairs[:place]) or _parting(first, one, told)
    if len(first) != len(second) and (rewired := _first_rewired(first, second, pairs)):
        return rewired
    if len(first) != len(second):
        return _of_the_whole(f"one graph has {len(first)} nodes, the other {len(second)}")
    return None


def _unlike(left: dict[str, Any], right: dict[str, Any]) -> str:
    """What tells two nodes apart that stand in the same place; "" where nothing does."""
    for attribute in ("kind", "op", "shape"):
        if left[attribute] != right[attribute]:
            return f"its {attribute} is {left[attribute] or 'none'} here and {right[attribute] or 'none'} in the other"
    return ""


def _renamed(first: GradGraph, second: GradGraph) -> list[Difference]:
    """One that tells the leaves whose layers have other numbers in the second graph; else none."""
    names = [f"{one} is {other}" for one, other in renamed_leaves(first, second)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    message = f"layers have other numbers in the second: {', '.join(names[:NAMED])}{more}"
    return [_of_the_whole(message)] if names else []


def _of_the_whole(message: str) -> Difference:
    return Difference(what="structure", node=None, name="", source="", relative=float("inf"), message=message)


def _in_between(first: GradGraph, second: GradGraph, aligned: Alignment | None) -> Iterator[Difference]:
    """One for each run of calls that one graph alone has, or that stand in the place of others; in forward order."""
    if aligned is None:
        return
    here, back = {one for one, _ in aligned.pairs}, {other: one for one, other in aligned.pairs}
    told: list[tuple[int, Difference]] = []
    for run in aligned.only_first:
        told.append((run[0], _run_told(first, run, f"only the first has {_calls(first, run)}", here, is_first=True)))
    for run in aligned.only_second:
        place = max((back[node] for node in back if node < run[0]), default=0)
        said = f"only the second has {_calls(second, run)}"
        told.append((place, _run_told(second, run, said, back, is_first=False)))
    for run, other in aligned.replaced:
        said = f"the first has {_calls(first, run)} where the second has {_calls(second, other)}"
        told.append((run[0], _run_told(first, run, said, here, is_first=True)))
    yield from (one for _, one in sorted(told, key=lambda item: item[0]))


def _run_told(
    graph: GradGraph, run: tuple[int, ...], told: str, common: Collection[int], *, is_first: bool
) -> Difference:
    """A run of calls as a difference: which they are, behind which call that both graphs have, and on which line."""
    tail, source = before(graph, run[-1], common), str(graph.nodes[run[-1]]["source"])
    behind = "" if tail is None else f" behind {graph.nodes[tail]['name']}"
    return Difference(
        what="structure",
        node=run[0] if is_first else None,
        name=str(graph.nodes[run[0]]["name"]),
        source=source,
        relative=float("inf"),
        message=f"{told}{behind} ({source or 'no source line'})",
    )


def _calls(graph: GradGraph, run: tuple[int, ...]) -> str:
    """The first calls of a run, as "h = tanh", and how many more there are."""
    calls = [f"{graph.nodes[node]['name']} = {graph.nodes[node]['op'] or graph.nodes[node]['kind']}" for node in run]
    more = f" and {len(calls) - NAMED} more" if len(calls) > NAMED else ""
    return f"{', '.join(calls[:NAMED])}{more}"


def _only(which: str, graph: GradGraph, other: GradGraph) -> Iterator[str]:
    """The leaves that one graph has and the other has not, in words."""
    names = [repr(name) for name in graph.leaves if name not in other.leaves]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    if names:
        yield f"only the {which} has {', '.join(names[:NAMED])}{more}"


def _first_rewired(first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]]) -> Difference | None:
    """The first of calls that look alike which reads other values, where the graphs are known to part later on."""
    partner = dict(pairs)
    for one, other in pairs:
        if [(partner.get(tail), *use) for tail, *use in _arguments(first, one)] != _arguments(second, other):
            told = f"it reads {_read(first, one)} here, and its counterpart {_read(second, other)} in the other"
            return _parting(first, one, told)
    return None


def _arguments(graph: GradGraph, node: int) -> list[tuple[int, int, int]]:
    """Tail, argument position and which of the tail's outputs, of all that a call reads."""
    return [(use.edge[0], use.edge[2], use.output) for use in graph.arguments_of(node)]


def _read(graph: GradGraph, node: int) -> str:
    return ", ".join(graph.output_name(use.edge[0], use.output) for use in graph.arguments_of(node)) or "nothing"


def _parting(graph: GradGraph, node: int, told: str) -> Difference:
    """Where the structure of two graphs differs first."""
    name, source = str(graph.nodes[node]["name"]), str(graph.nodes[node]["source"])
    message = f"the graphs part at {name} ({source or 'no source line'}): {told}; what follows is not compared"
    return Difference(what="structure", node=node, name=name, source=source, relative=float("inf"), message=message)


def _tensors(
    what: What, first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]]
) -> Iterator[Compared]:
    by_chance = unfilled(first) if what == "value" else set()
    for one, other in pairs:
        if one in by_chance:
            continue
        for place in first.nodes[one]["outputs"]:
            if place in second.nodes[other]["outputs"]:
                name = first.output_name(one, place)
                if what == "value":
                    yield what, one, other, name, first.value(one, place), second.value(other, place)
                else:
                    yield what, one, other, name, first.cotangent(one, place), second.cotangent(other, place)


def _relative(one: Tensor, other: Tensor) -> float:
    """The largest difference over the largest magnitude of either; NaN equals NaN."""
    if one.shape != other.shape:
        return float("inf")
    left, right = _wide(one), _wide(other)
    if not left.numel():
        return 0.0
    same = (left == right) | (torch.isnan(left) & torch.isnan(right))
    if bool(same.all()):
        return 0.0
    differs, scale = (left - right).abs()[~same], torch.maximum(left.abs(), right.abs())
    if not bool(torch.isfinite(differs).all()):
        return float("inf")
    return float(differs.max() / scale[torch.isfinite(scale)].max())


def _relative_of_statistics(one: Tensor, other: Tensor) -> float | None:
    """The same of extremes, mean and standard deviation; None where a side has not even these."""
    left, right = statistics_kept(one), statistics_kept(other)
    if left is None or right is None:
        return None
    if (left.count, left.nans, left.infs) != (right.count, right.nans, right.infs):
        return float("inf")
    pairs = ((left.low, right.low), (left.high, right.high), (left.mean, right.mean), (left.std, right.std))
    scale = max((abs(end) for ends in pairs[:2] for end in ends), default=0.0) if left.finite else 0.0
    return max(abs(here - there) for here, there in pairs) / scale if scale else 0.0


def _lost(
    first: GradGraph,
    second: GradGraph,
    what: What,
    node: int,
    partner: int,
    name: str,
    one: Tensor | None,
    other: Tensor | None,
) -> list[Difference]:
    """A cotangent that only one graph has, since the backward pass of the other did not come there; else nothing.

    One that is zero everywhere says the same as none.
    """
    came = one if other is None else other
    graph, place, where = (first, node, "here") if one is None else (second, partner, "in the other")
    if what == "value" or came is None or _is_zero(came):
        return []
    if LOADED in graph.graph and graph.nodes[place]["backward_order"] is not None:  # left out of a file for its size
        return []
    source = str(first.nodes[node]["source"])
    line = f" ({source})" if source else ""
    message = f"no gradient comes back to {name}{line} {where}: the backward pass ends before it"
    return [Difference(what=what, node=node, name=name, source=source, relative=float("inf"), message=message)]


def _is_zero(tensor: Tensor) -> bool:
    if not is_kept(tensor):
        known = statistics_kept(tensor)
        return known is not None and known.finite > 0 and known.low == known.high == 0
    return not bool(_wide(tensor).any())


def _wide(tensor: Tensor) -> Tensor:
    dense = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    numbers = torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
    return numbers.cpu().to(torch.float64)


def _difference(graph: GradGraph, what: What, node: int, name: str, relative: float) -> Difference:
    source = str(graph.nodes[node]["source"])
    where = f" ({source})" if source else ""
    kind = "value" if what == "value" else "cotangent"
    message = f"the {kind} of {name}{where} differs by a relative {relative:.3g}"
    return Difference(what=what, node=node, name=name, source=source, relative=relative, message=message)
