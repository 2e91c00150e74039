"""Two graphs of the same code -> where their numbers part: the first value, and going back the first cotangent.

The same model traced at two steps, in two dtypes, or on CPU and CUDA has the same nodes in the same order. Where the
structure differs, the comparison ends at the first node that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gradviz.attributes import unfilled
from gradviz.errors import InputError
from gradviz.graph import GradGraph
from gradviz.standin import is_kept, statistics_kept

What = Literal["value", "cotangent", "structure"]
Compared = tuple[What, int, str, Tensor | None, Tensor | None]
"""What of which node of the first graph, by what name, here and in the second."""


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
    def first_value(self) -> Difference | None:
        """The first value, in forward order, that differs."""
        return next((found for found in self.differences if found.what == "value"), None)

    @property
    def first_cotangent(self) -> Difference | None:
        """The first cotangent, in the backward pass's order, that differs."""
        return next((found for found in self.differences if found.what == "cotangent"), None)

    def __str__(self) -> str:
        skipped = f", {self.skipped} not compared: one side does not hold them" if self.skipped else ""
        summed = f", {self.summed} of them by their statistics only" if self.summed else ""
        head = f"{self.compared} tensors compared to a relative {self.rtol:.3g}{summed}{skipped}"
        if not self.differences:
            return f"{head}: no difference"
        shown = [found.message for found in (self.first_value, self.first_cotangent) if found is not None]
        shown += [found.message for found in self.differences if found.what == "structure"]
        count = sum(found.what != "structure" for found in self.differences)
        return "\n".join([f"{head}: {count or 'none'} differ" if count != 1 else f"{head}: 1 differs", *shown])


def compare(first: GradGraph, second: GradGraph, *, rtol: float | None = None) -> Comparison:
    """Values and cotangents of two graphs of the same code, node by node; see `GradGraph.compare`."""
    if not isinstance(second, GradGraph):
        raise InputError(f"compare takes another graph, not a {type(second).__name__}; a file is read by gradviz.load(path)")
    for graph in (first, second):
        graph.require_numbers("a comparison")
    if rtol is not None and (not isinstance(rtol, (int, float)) or not rtol >= 0):
        raise InputError(f"rtol is {rtol!r}; accepted: 0 or more")
    tolerance = _tolerance(first, second) if rtol is None else rtol
    pairs = _pairs(first, second)
    structure = _first_structural(first, second, pairs)
    found: list[Difference] = []
    compared = skipped = summed = 0
    for what, node, name, one, other in _tensors_before(structure, first, second, pairs):
        if one is None or other is None:
            skipped += (one is None) != (other is None)
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
    if structure is not None:
        found.append(structure)
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
        yield from _tensors("value", first, second, pairs[: [one for one, _ in pairs].index(structure.node)])
    elif set(first.leaves) == set(second.leaves):
        yield from _tensors("value", first, second, pairs)


def _place_in_backward(graph: GradGraph, node: int) -> int:
    place: int | None = graph.nodes[node]["backward_order"]
    return -1 if place is None else place


def _pairs(first: GradGraph, second: GradGraph) -> list[tuple[int, int]]:
    """Leaves by their names, all other nodes in their order."""
    leaves = [(node, second.leaves[name]) for name, node in first.leaves.items() if name in second.leaves]
    others = zip(_not_leaves(first), _not_leaves(second), strict=False)
    return sorted([*leaves, *others])


def _not_leaves(graph: GradGraph) -> list[int]:
    leaves = set(graph.leaves.values())
    return [node for node in graph if node not in leaves]


def _tolerance(first: GradGraph, second: GradGraph) -> float:
    """A thousand roundings of the coarser dtype: what two orders of summation may differ by in a deep network."""
    dtypes = {data["dtype"] for graph in (first, second) for _, data in graph.nodes(data=True) if data["requires_grad"]}
    rounded = (dtype for dtype in dtypes if dtype.is_floating_point or dtype.is_complex)  # the positions of maxima are not
    return 1000 * max((torch.finfo(dtype).eps for dtype in rounded), default=0.0)


def _first_structural(first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]]) -> Difference | None:
    alone = [f"{name!r}" for name in (*first.leaves, *second.leaves) if (name in first.leaves) != (name in second.leaves)]
    if alone:
        message = f"the graphs have different leaves: only one of them has {', '.join(alone[:5])}; nothing else is compared"
        return Difference(what="structure", node=None, name="", source="", relative=float("inf"), message=message)
    for one, other in pairs:
        left, right = first.nodes[one], second.nodes[other]
        for attribute in ("kind", "op", "shape"):
            if left[attribute] != right[attribute]:
                message = (
                    f"the graphs part at {left['name']} ({left['source'] or 'no source line'}): its {attribute} is "
                    f"{left[attribute] or 'none'} here and {right[attribute] or 'none'} in the other; "
                    "what follows is not compared"
                )
                return Difference(
                    what="structure",
                    node=one,
                    name=left["name"],
                    source=left["source"],
                    relative=float("inf"),
                    message=message,
                )
    if len(first) != len(second):
        message = f"one graph has {len(first)} nodes, the other {len(second)}"
        return Difference(what="structure", node=None, name="", source="", relative=float("inf"), message=message)
    return None


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
                    yield what, one, name, first.value(one, place), second.value(other, place)
                else:
                    yield what, one, name, first.cotangent(one, place), second.cotangent(other, place)


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
