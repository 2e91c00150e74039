"""Hooks that change what flows back: no derivative is wrong, and yet the gradient is not that of the forward."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor

from gradviz.check.hooks import Hooks
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings
from gradviz.diagnose.ways import is_zero
from gradviz.errors import PartialError
from gradviz.graph import Edge, Use
from gradviz.standin import is_kept

_WITHIN = 1 / 256
"""How far apart gradients may be, as a part of the largest element: what rounding one to bfloat16 on its way leaves."""
_ROUNDINGS = 4
"""So many units in the last place may a sum in another order be from the engine's."""
_SETTLED = 0.02
"""How far one more step moves what a solver left, as a part of the largest element."""


def hooked_gradient(readings: Readings) -> Iterator[Finding]:
    """Once per hook that changes what a right derivative passes on, or what arrives at a value.

    What is meant is not told: what `intended=` names, a hook that clips elements, or holds some at zero, and one on a fixed
    point, whose gradient by the implicit function theorem is another than that of the last step.
    """
    told: set[tuple[str, ...]] = set()
    for hooks, node, edge, source in chain(_by_the_check(readings), _on_cotangents(readings), _on_contributions(readings)):
        if hooks in told:
            continue
        told.add(hooks)
        name = readings.name(node)
        which = f"arrives at {name}" if edge is None else f"{name} passes on"
        yield found(
            readings.graph,
            "hooked-gradient",
            "hint",
            f"the hook {' or '.join(hooks)} changes the gradient that {which}; no derivative is wrong",
            "where it is meant, as a clipping is, say so: "
            f"graph.diagnose(report=graph.check(intended={[hook.partition(' at ')[0] for hook in hooks]}))",
            node=None if edge is not None else node,
            edge=edge,
            source=source,
        )


_Place = tuple[tuple[str, ...], int, Edge | None, str]
"""(hooks, node, edge, source line)"""


def _by_the_check(readings: Readings) -> Iterator[_Place]:
    for entry in readings.report.edges:
        if entry.hook:
            yield tuple(entry.hook.split(" or ")), entry.edge[1], entry.edge, entry.source


def _on_cotangents(readings: Readings) -> Iterator[_Place]:
    """Cotangents that are not the sum of what came, of values with hooks; zeros are told where they are made."""
    graph = readings.graph
    meant = {entry.node for entry in readings.report.sums if entry.verdict == "intended"}
    starting = graph.starting_cotangents()
    places = {*graph.hooks(), *((node, at) for node in graph.node_hooks() for at in graph.nodes[node]["outputs"])}
    hooks = Hooks(graph) if places else None
    for node, output in sorted(places):
        names = hooks.on_cotangent(node, output) if hooks is not None and node not in meant else ()
        cotangent = graph.cotangent(node, output)
        came = [use.contribution for use in graph.uses_of(node) if use.output == output and use.contribution is not None]
        came += [starting[node, output]] if (node, output) in starting else []
        if not names or not came or cotangent is None or is_zero(cotangent):
            continue
        if _differ(came, cotangent) and not _is_fixed_point(readings, node, output):
            yield names, node, None, graph.nodes[node]["source"]


def _is_fixed_point(readings: Readings, node: int, output: int) -> bool:
    """Whether a value is about what it was computed from: one more step from where a solver stopped, under no_grad."""
    graph = readings.graph
    value = graph.value(node, output)
    if value is None or not is_kept(value) or not value.numel():
        return False
    for tail in readings.made_of(readings.behind(node)):
        is_solved = graph.nodes[tail]["kind"] == "leaf" or (readings.op(tail) and graph.cotangent(tail) is None)
        before = graph.value(tail) if is_solved else None
        if before is None or not is_kept(before) or _kind(before) != _kind(value):
            continue
        if float((value - before).abs().max()) <= _SETTLED * float(value.abs().max()):
            return True
    return False


def _kind(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype, tensor.device, tensor.layout


def _on_contributions(readings: Readings) -> Iterator[_Place]:
    """Contributions that are not what the node answers, of nodes with hooks that the check did not look at."""
    graph = readings.graph
    judged = {entry.edge for entry in readings.report.edges} if readings.is_of_hooks else set()
    hooked = {node: hooks.after for node, hooks in graph.node_hooks().items() if hooks.after}
    for node, names in hooked.items():
        for use in graph.arguments_of(node):
            if use.edge not in judged and _is_changed(readings, use):
                yield names, node, use.edge, graph.nodes[node]["source"]
                break


def _is_changed(readings: Readings, use: Use) -> bool:
    cotangent = readings.graph.nodes[use.edge[1]]["cotangent"]
    if use.partial is None or use.contribution is None or not isinstance(cotangent, Tensor) or not is_kept(cotangent):
        return False
    try:
        answered = use.partial.vjp(cotangent)
    except PartialError:  # what it needs was freed, or is in no file, and nobody can tell what the hook did
        readings.leave_hooks_unanswered(use.edge[1])
        return False
    return not is_zero(use.contribution) and _differ([answered], use.contribution)


def _differ(terms: list[Tensor], total: Tensor) -> bool:
    """Whether a tensor is not the sum of others, rounding aside; what is not finite or not kept tells nothing."""
    if not all(is_kept(one) and one.layout is torch.strided and one.device.type != "meta" for one in (*terms, total)):
        return False
    summed = sum((one.detach() for one in terms[1:]), start=terms[0].detach())
    size = max(float(one.abs().max()) for one in (*terms, total)) if total.numel() else 0.0
    within = max(_WITHIN, _ROUNDINGS * torch.finfo(total.dtype).eps)
    if summed.shape != total.shape or not size or not float((summed - total).abs().max()) > within * size:
        return False
    return not _is_clipped(summed, total.detach())


def _is_clipped(before: Tensor, after: Tensor) -> bool:
    """Whether each element is as it was, zero, or at a limit that it was beyond. Of elements of one size nobody can tell.

    Nor where all that there is, one above 0 and one below, became smaller by a factor, or at two limits.
    """
    if after.is_complex() or bool((before.abs() == before.abs().max()).all()):
        return False
    kept = torch.isclose(after, before, rtol=_WITHIN) | (after == 0)
    limits = (after.abs() <= before.abs()) & torch.where(before > 0, after == after.max(), after == after.min())
    sizes = after[after != 0].abs()
    is_factor = sizes.numel() == sizes.unique().numel() == 2 and not bool(kept[after != 0].any())
    return bool((kept | limits).all()) and not is_factor
