"""Two graphs of the same code -> where their numbers part: the first value, and going back the first cotangent.

The same model traced at two steps, in two dtypes, or on CPU and CUDA has the same nodes in the same order. Where one has
calls more, as a dropout, a cast, a copy or a whole layer with its parameters, or others in their place, as another
activation or two layers that are swapped, these are told, and the others are compared (`alignment`), whatever names or
numbers that gives to the layers behind them (`leaves`). Calls that are the same and read other values, as those of two
layers of one shape that are swapped, are told too. Where the structure differs otherwise, the comparison ends at the first
node that does.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.attributes import unfilled
from gradviz.compare.alignment import alignment, not_leaves
from gradviz.compare.comparison import Comparison, Difference, What
from gradviz.compare.distance import is_zero, relative, relative_of_statistics, tolerance_of
from gradviz.compare.leaves import PairedLeaves, Pairs, frozen_pairs, paired_leaves
from gradviz.compare.structure import first_structural, in_between, leaves_told, rewired
from gradviz.errors import InputError
from gradviz.graph import GradGraph
from gradviz.saved.write import LOADED
from gradviz.standin import is_kept

Compared = tuple[What, int, int, str, Tensor | None, Tensor | None]
"""What of which nodes of the first and the second graph, by what name, here and there."""


def compare(first: GradGraph, second: GradGraph, *, rtol: float | None = None) -> Comparison:
    """Values and cotangents of two graphs of the same code, node by node; see `GradGraph.compare`."""
    if not isinstance(second, GradGraph):
        raise InputError(f"compare takes another graph, not a {type(second).__name__}; a file is read by gradviz.load(path)")
    first.require_numbers("a comparison")
    second.require_numbers("a comparison")
    if rtol is not None and (not isinstance(rtol, (int, float)) or not rtol >= 0):
        raise InputError(f"rtol is {rtol!r}; accepted: 0 or more")
    leaves = paired_leaves(first, second)
    pairs = _pairs(first, second, leaves) if leaves.is_whole else []
    structure = first_structural(first, second, leaves, pairs)
    aligned = None if structure is None else alignment(first, second, leaves)
    if aligned is not None:
        structure, pairs = None, list(aligned.pairs)
    allowed = tolerance_of(first, second, None if aligned is None else pairs) if rtol is None else rtol
    frozen = {*frozen_pairs(first, second, leaves)}
    found: list[Difference] = []
    compared = skipped = summed = 0
    for what, node, partner, name, one, other in _tensors_before(structure, first, second, pairs):
        if what == "cotangent" and (node, partner) in frozen:
            continue
        if one is None or other is None:
            lost = _lost(first, second, what, node, partner, name, one, other)
            found += lost
            skipped += not lost and (one is None) != (other is None)
            continue
        by_elements = is_kept(one) and is_kept(other)
        apart = relative(one, other) if by_elements else relative_of_statistics(one, other)
        if apart is None:
            skipped += 1
            continue
        compared += 1
        summed += not by_elements
        if not apart <= allowed:
            found.append(_difference(first, what, node, name, apart, (one, other)))
    found += leaves_told(first, second, leaves) if pairs else []
    found += in_between(first, second, aligned)
    found += rewired(first, second, pairs) if structure is None and aligned is None else []
    found += [] if structure is None else [structure]
    return Comparison(differences=tuple(found), compared=compared, skipped=skipped, rtol=allowed, summed=summed)


def _pairs(first: GradGraph, second: GradGraph, leaves: PairedLeaves) -> Pairs:
    """Leaves as they are paired, all other nodes in their order."""
    others = zip(not_leaves(first, leaves.first), not_leaves(second, leaves.second), strict=False)
    return sorted([*leaves.pairs, *others])


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
    else:
        yield from _tensors("value", first, second, pairs)


def _place_in_backward(graph: GradGraph, node: int) -> int:
    place: int | None = graph.nodes[node]["backward_order"]
    return -1 if place is None else place


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
    if what == "value" or came is None or is_zero(came):
        return []
    if LOADED in graph.graph and graph.nodes[place]["backward_order"] is not None:  # left out of a file for its size
        return []
    source = str(first.nodes[node]["source"])
    line = f" ({source})" if source else ""
    message = f"no gradient comes back to {name}{line} {where}: the backward pass ends before it"
    return [Difference(what=what, node=node, name=name, source=source, relative=float("inf"), message=message)]


def _difference(
    graph: GradGraph, what: What, node: int, name: str, apart: float, tensors: tuple[Tensor, Tensor]
) -> Difference:
    source = str(graph.nodes[node]["source"])
    where = f" ({source})" if source else ""
    here, there = (tuple(tensor.shape) for tensor in tensors)
    told = f"differs by a relative {apart:.3g}" if here == there else f"has shape {here} here and {there} in the other"
    message = f"the {what} of {name}{where} {told}"
    return Difference(what=what, node=node, name=name, source=source, relative=apart, message=message)
