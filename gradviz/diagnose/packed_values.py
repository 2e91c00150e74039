"""Hooks on saved tensors that give back other numbers than were saved, as those that store activations in half precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import Readings
from gradviz.errors import PartialError
from gradviz.graph import GradGraph
from gradviz.opcall import is_inexact
from gradviz.partials import LocalPartial
from gradviz.recording.packed import Packed
from gradviz.standin import is_kept

ANOTHER = 0.1
"""What came back to a custom Function farther from all known values than this is another value."""


class Changed(NamedTuple):
    """A node whose backward reads other numbers than its forward did.

    Attributes:
        hook: what gave them back, as "unpack at train.py:12".
        error: the largest difference, beside the largest element.
    """

    hook: str
    error: float


def packed_values(readings: Readings) -> Iterator[Finding]:
    """Once per hook that gave back something else than was saved."""
    graph = readings.graph
    changed = changed_by_hooks(graph)
    for hook in dict.fromkeys(one.hook for one in changed.values()):
        errors = {node: one.error for node, one in changed.items() if one.hook == hook}
        worst = max(errors, key=lambda node: errors[node])
        calls = [f"{readings.op(node)} ({readings.name(node)})" for node in errors]
        yield found(
            graph,
            "lossy-saved-tensors",
            "warning",
            f"the saved-tensor hook {hook} gives back other numbers than the forward pass had, off by up to "
            f"{errors[worst]:.2g} times the largest: the gradients through {listed(calls)} are computed from these; no "
            "derivative is wrong",
            "where saving memory is worth it, all is well; else pack without loss, as torch.autograd.graph.save_on_cpu "
            "does, or leave out what needs its digits",
            node=worst,
            numbers={"calls": len(errors), "largest error beside the largest element": errors[worst]},
        )


def changed_by_hooks(graph: GradGraph) -> dict[int, Changed]:
    """The nodes whose saved tensors went through hooks and came back with other numbers."""
    changed = {}
    for node in () if graph.is_loaded else graph:
        partials = (use.partial for use in graph.arguments_of(node))
        partial = next((one for one in partials if isinstance(one, LocalPartial)), None)
        if partial is None:
            continue
        try:
            errors = [(_error(graph, node, packed), packed.hook) for packed in partial.packed_tensors()]
        except PartialError:  # freed in the meantime: nobody can tell
            continue
        if errors and max(errors)[0]:
            error, hook = max(errors)
            changed[node] = Changed(hook, error)
    return changed


def _error(graph: GradGraph, node: int, packed: Packed) -> float:
    """How far what came back is from the value that it was, beside that; 0 where it is not known which that was."""
    values = [("result", graph.value(node))]
    values += [(use.argument, graph.value(use.edge[0], use.output)) for use in graph.arguments_of(node)]
    if not packed.saved:  # a custom Function may save anything that its forward computed
        made = [output for call in graph.nodes[node]["inner_calls"] for output in call.outputs]
        values += [("", inner) for inner in (*graph.nodes[node]["inner_inputs"], *made)]
    known = [value for name, value in values if packed.saved in ("", name) and value is not None and is_kept(value)]
    given_back = packed.given_back
    alike = [value for value in known if _kind(value) == _kind(given_back)]
    error = min((_distance(value, given_back) for value in alike), default=0.0)
    return error if packed.saved or error < ANOTHER else 0.0


def _kind(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.device, is_inexact(tensor)


def _distance(value: Tensor, other: Tensor) -> float:
    """The largest difference beside the largest element; infinite where only one of two is a finite number."""
    if not value.numel():
        return 0.0
    if not is_inexact(value):  # masks cannot be subtracted, and bytes below 0 are large
        value, other = value.cpu().double(), other.cpu().double()
    size = float(value.abs().max())
    is_same = (value == other) | (value.isnan() & other.isnan())
    apart = (value - other).abs().where(~is_same, 0.0).nan_to_num(nan=math.inf)
    return float(apart.max()) / (size or 1.0)
