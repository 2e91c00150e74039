"""The edges into a function of several recorded calls: a custom `autograd.Function`, or a write through a view.

What its forward really ran is differentiated twice: symbolically on sampled rows, and by torch's own formulas in float64 on
every element. The hand-written backward is judged against both, so that a slip in one element of many is found.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from gradviz.check.arrays import Index, as_array
from gradviz.check.custom.asking import Asker, Group
from gradviz.check.custom.elements import compare_all
from gradviz.check.custom.forwards import check_by_forward
from gradviz.check.custom.samples import compare_samples
from gradviz.check.custom.threads import fitting
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.check.local import Plan
from gradviz.standin import is_kept
from gradviz.symbolic import NoRule

_WRITES = (
    "backward() changes the cotangent that it is handed in place, and with it the gradients of all else that was handed "
    "the same tensor"
)


def check_custom(head: HeadUnderCheck, plan: Plan) -> None:
    """Compares every edge of a head without a call of its own with what is known of it: its calls, or its forward itself.

    Raises:
        NoRule: neither a symbolic nor a float64 reference can be had.
        PartialError: the autograd node can no longer be asked.
    """
    reason, unclear = head.left_torch, head.edges
    if not reason:
        with fitting(head.inner_calls):
            unclear = check_composed(head, plan)
        reason = "no recorded op of forward() leads from this argument to the result, yet backward() gives it a gradient"
    if unclear:
        check_by_forward(head, unclear, plan, reason)
    for edge in head.edges:
        if any(partial.writes_to_cotangent() for partial in edge.partials.values()):
            edge.comparison.wrong(_WRITES)
        for branch in _branches_not_entered(head):
            edge.comparison.note(branch)


def _branches_not_entered(head: HeadUnderCheck) -> Iterator[str]:
    """What is to be said of conditions in forward that are the same on all elements: a check holds at these values only."""
    for op, line, condition in () if head.function is None else head.function.conditions:
        if not is_kept(condition) or condition.is_meta or not condition.numel():
            continue
        if condition.all() or not condition.any():
            at = f" at {line}" if line else ""
            is_true = "true" if condition.all() else "false"
            yield f"the condition of `{op}`{at} is {is_true} on all elements: the other branch was not checked"


def check_composed(head: HeadUnderCheck, plan: Plan) -> list[EdgeUnderCheck]:
    """Compares every edge of a head that has `inner_calls` with what these calls compute.

    Returns:
        the edges that get a gradient although no call leads from them to the result: of these nothing is known yet.

    Raises:
        NoRule: neither a symbolic nor a float64 reference can be had.
        PartialError: the autograd node can no longer be asked.
    """
    outputs = head.made_inside()
    groups, unexplained = _groups(head)
    if not groups:
        return unexplained
    made = [output for call in head.inner_calls for output in call.outputs if output is not None]
    asker = Asker(head, _coarsest([*(group.snapshot for group in groups), *outputs.values(), *made]))
    kinked: list[tuple[int, Index]] = []
    missing_rule = ""
    try:
        kinked = compare_samples(head, asker, groups, outputs, plan)
    except NoRule as missing:
        missing_rule = missing.reason
    try:
        compare_all(head, asker, groups, outputs, plan, kinked)
    except NoRule as missing:
        if missing_rule:
            raise
        for group in groups:
            group.comparison.step(f"sampled rows only: {missing.reason}")
    for group in groups:
        _share(group)
    return unexplained


def _groups(head: HeadUnderCheck) -> tuple[list[Group], list[EdgeUnderCheck]]:
    """The edges by the value that they carry, and those whose value forward did not use, yet backward() gives a gradient.

    What forward did not use, and gets no gradient, is settled here.
    """
    snapshots = head.attributes["inner_inputs"]
    by_value: dict[tuple[int, int], list[EdgeUnderCheck]] = {}
    for edge in head.edges:
        by_value.setdefault((edge.edge[0], edge.use.output), []).append(edge)
    groups: list[Group] = []
    unexplained: list[EdgeUnderCheck] = []
    for edges in by_value.values():
        read = [edge for edge in edges if edge.position < len(snapshots) and head.leads_on(snapshots[edge.position])]
        if read:
            first = read[0].position
            groups.append(
                Group(position=first, snapshot=snapshots[first], edges=[read[0], *(e for e in edges if e is not read[0])])
            )
            continue
        unexplained += [edge for edge in edges if not _check_unread(head, edge)]
    return groups, unexplained


def _check_unread(head: HeadUnderCheck, edge: EdgeUnderCheck) -> bool:
    """Whether an argument that no recorded call used gets no gradient, and so has its derivative of 0."""
    comparison = edge.comparison
    for place in head.outputs:
        if place not in edge.partials:
            continue
        ones = torch.ones(edge.partials[place].out_shape, dtype=torch.float64)
        if np.any(as_array(edge.partials[place].vjp(ones))):
            return False
    comparison.method = "numeric"
    comparison.checked = comparison.total = edge.in_numel
    comparison.step("forward() does not use this argument, and backward() gives it no gradient")
    return True


def _share(group: Group) -> None:
    """Edges that carry the same value share the verdict on their sum."""
    if len(group.edges) == 1:
        return
    group.comparison.step("the value is passed several times: the sum over its uses was compared")
    for edge in group.edges[1:]:
        edge.comparison = group.comparison


def _coarsest(tensors: list[Tensor]) -> torch.dtype:
    floating = [tensor.dtype for tensor in tensors if tensor.dtype.is_floating_point or tensor.dtype.is_complex]
    return max(floating, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)
