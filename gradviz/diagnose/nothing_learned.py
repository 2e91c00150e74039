"""No leaf gets any gradient: the function that is flat for all samples, the factor of 0, or the uses that cancel.

What is meant for one of several terms, a margin that all samples keep or a mask, leaves a step without anything to learn
where it is all that the loss consists of. That a batch keeps its margin may be as it should be, so it is a hint there.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.diagnose.dead_units import FLAT_BELOW, dead_units
from gradviz.diagnose.finding import Finding, Numbers, Severity, found
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.diagnose.saturation import saturation
from gradviz.diagnose.symmetry import symmetry
from gradviz.graph import Use
from gradviz.signs import derivative_sign

LIMITS = frozenset({"clamp", "clamp_min", "clamp_max", "hardtanh", "hardsigmoid"})
TOLD_ELSEWHERE = frozenset({"relu", "threshold", *FLAT_BELOW, "sigmoid", "tanh", "_softmax"})
"""`dead_units` and `saturation` look at these; a softmax over one element alone is told with the zeros it makes."""
CHOICES = frozenset(
    {
        *("where", "maximum", "minimum", "max", "min", "fmax", "fmin", "masked_fill", "masked_scatter", "index_fill"),
        *("index_copy", "slice_scatter", "select_scatter", "index_put", "copy"),
    }
)
"""What is not chosen gets no gradient, and that is meant, as is that of a margin loss when all samples keep the margin."""
MARGINS = LIMITS | CHOICES | {"relu", "threshold"}
MARGIN_LOSSES = frozenset({"multi_margin_loss", "multilabel_margin_loss_forward"})


def flat_throughout(readings: Readings, use: Use, names: list[str]) -> Iterator[Finding]:
    """All zeros come from the edge `use`, the nearest to the output of those that make them."""
    graph = readings.graph
    tail, head, _ = use.edge
    op, value, name = readings.op(head), readings.value_of(use), graph.output_name(tail, use.output)
    is_term = readings.is_a_term_of_the_loss(head)
    if op in TOLD_ELSEWHERE and not is_term and value is not None and value.numel() > 1 and _is_told_elsewhere(readings):
        return
    is_still = not any(readings.norm(graph.value(output)) for output in graph.outputs)
    severity: Severity = "warning"
    hint = "look at the limits of this function, and at the scale of its input"
    if is_times_zero(readings, head):
        hint = f"{readings.name(head)} is multiplied by 0: see why the factor is 0, or leave out such a step"
    elif is_still:
        severity = "hint"
        hint = (
            "as it should be where each sample of this batch keeps its margin; where every batch does, look at the sign of "
            "the margin, at which of two distances is taken from which, and at masks"
        )
    still = ", and the loss is 0" if is_still else ""
    yield found(
        graph,
        "zero-gradient",
        severity,
        f"no leaf gets any gradient{still}: {derivative_sign(readings.name(head), name)} ({op}) passes on nothing but zeros",
        hint,
        edge=use.edge,
        numbers={"leaves with a zero gradient": len(names), **_range(readings, name, value)},
    )


def cancelled(readings: Readings, heads: list[int], names: list[str]) -> Iterator[Finding]:
    """No edge makes zeros, yet all gradients are zero: at some value the contributions of its uses add up to zero."""
    graph = readings.graph
    for node in heads:
        parts = [readings.norm(use.contribution) for use in graph.uses_of(node) if use.contribution is not None]
        if sum(part > 0 for part in parts) > 1 and not any(map(readings.norm, readings.cotangents(node))):
            yield found(
                graph,
                "zero-gradient",
                "warning",
                f"no leaf gets any gradient: the contributions of the {len(parts)} uses of {readings.name(node)} add up "
                "to 0",
                "look for a value that is compared with itself, or divided by itself: where one of the two is the old one, "
                "detach it, or keep it from an earlier step",
                node=node,
                numbers={"largest contribution": max(parts), "leaves with a zero gradient": len(names)},
            )
            return


def is_kept_margin(readings: Readings, use: Use) -> bool:
    """Whether an edge passes on zeros since every sample keeps a margin: of a loss of torch's, or of a power of a hinge."""
    head = use.edge[1]
    if readings.op(head) in MARGIN_LOSSES:
        return not any(map(readings.norm, readings.values(head)))
    value, hinge = readings.value_of(use), readings.behind(use.edge[0], COPIES)
    is_power = readings.op(head) in ("pow", "mul") and value is not None and not readings.norm(value)
    return is_power and readings.op(hinge) in MARGINS and readings.is_a_term_of_the_loss(hinge)


def _is_told_elsewhere(readings: Readings) -> bool:
    is_saturated = any(finding.severity == "warning" for finding in saturation(readings))
    return is_saturated or any(next(finder(readings), None) is not None for finder in (dead_units, symmetry))


def is_times_zero(readings: Readings, head: int) -> bool:
    """Whether a call multiplies by a number, or by a constant or a leaf, that is 0."""
    call, uses = readings.graph.nodes[head]["call"], readings.arguments[head]
    if readings.op(head) != "mul" or call is None:
        return False
    factors = [(readings.graph.nodes[readings.behind(use.edge[0])]["kind"], readings.value_of(use)) for use in uses]
    given = [value for kind, value in factors if kind != "op"] + [one for one in call.args if isinstance(one, (int, float))]
    return any(not readings.norm(one) if isinstance(one, Tensor) else one == 0 for one in given if one is not None)


def _range(readings: Readings, name: str, value: Tensor | None) -> Numbers:
    if value is None or not value.numel() or not value.is_floating_point() or not readings.has_elements(value):
        return {}
    return {f"least {name}": float(value.min()), f"greatest {name}": float(value.max())}
