"""Sigmoid, tanh and softmax so far out that their local partials are next to zero."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.diagnose.attention_scale import ROOT, TURNED, is_root, without_scale, without_scale_inside
from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.fused_attention import fused_scores, is_fused
from gradviz.diagnose.readings import MATRIX_PRODUCTS, VIEWS, Readings
from gradviz.diagnose.units import flat_units, unit_dim
from gradviz.view.notation import number_text

FLAT = 1e-3
"""A local partial below this is flat: |x| > 6.9 for sigmoid, whose steepest is 1/4, |x| > 4.1 for tanh."""
FLAT_SHARE = 0.9
"""A gate or a few heads may be shut in a healthy model, not nearly all elements of a layer."""
UNSCALED_SHARE = 0.5
"""So many rows of an attention are flat before a missing 1/√d is told, as a hint, below `FLAT_SHARE`."""
MIN_ELEMENTS = 16
"""Fewer may be flat by chance."""
NEARLY_FLAT = 0.02
"""Of the steepest local partial: |x| > 2.6 for tanh, whose |output| is beyond 0.99 there, |x| > 5.3 for sigmoid."""
NEARLY_FLAT_UNITS = 0.5
"""So many units of a hidden layer are nearly flat for `FLAT_SHARE` of the samples in one that is told as a hint."""
FEWEST_UNITS, FEWEST_SAMPLES = 16, 16
ALLOWED = -1e4
"""Logits below this are masked out: they are not what saturates a softmax."""
LOSSES = frozenset({"log", "binary_cross_entropy", "log1p", "rsub"})
"""A loss that cancels the flat part: behind it a confident answer is no trouble."""


def saturation(readings: Readings) -> Iterator[Finding]:
    """Layers of which `FLAT_SHARE` of the elements, for softmax of the rows, are flat; as a hint, some that nearly are.

    Of an attention without 1/√d, or with a factor above 1 in its place, half of the rows are enough for a hint.
    """
    graph = readings.graph
    for node in readings.ops:
        if is_fused(readings, node):
            yield from _fused(readings, node)
            continue
        op, value = readings.op(node), graph.value(node)
        if op not in ("sigmoid", "tanh", "_softmax", "_safe_softmax") or value is None or graph.cotangent(node) is None:
            continue
        if any(readings.op(user) in LOSSES for user in readings.users(node, VIEWS | {"clamp", "add"})):
            continue
        use = readings.arguments[node][0]
        flat = _flat(readings, node, op, value)
        share = 0.0 if flat is None or flat.numel() < MIN_ELEMENTS else float(flat.float().mean())
        is_asked = "softmax" in op and share >= UNSCALED_SHARE
        scale = without_scale(readings, node, masked=ALLOWED, flat=FLAT) if is_asked else None
        if flat is None or share < (FLAT_SHARE if scale is None else UNSCALED_SHARE):
            yield from _nearly_flat(readings, node, op, value)
            continue
        function = "softmax" if "softmax" in op else op
        numbers: Numbers = {"flat": int(flat.sum()), "of": flat.numel()} | (scale or {})
        if function != "softmax":
            flat_count, count = flat_units(flat, unit_dim(readings, node))
            numbers |= {"units flat for every sample": flat_count, "units": count}
        before = readings.value_of(use)
        if before is not None and readings.has_elements(before):
            numbers["median |input|"] = float(before[before > ALLOWED].abs().float().median())
        what = "rows" if function == "softmax" else "elements"
        yield found(
            graph,
            "saturated",
            "warning" if share >= FLAT_SHARE else "hint",
            f"{readings.name(node)} = {function}({readings.name(use.edge[0])}) is saturated: "
            f"{share:.0%} of its {what} have local partials below {FLAT:g}"
            + _said_of_scale(scale),
            _remedy(what == "rows", scale or {}, is_hint=share < FLAT_SHARE),
            edge=use.edge,
            numbers=numbers,
        )


def _fused(readings: Readings, node: int) -> Iterator[Finding]:
    """The same of the softmax inside of `F.scaled_dot_product_attention`."""
    fused = None if readings.graph.cotangent(node) is None else fused_scores(readings, node)
    flat = None if fused is None else _flat_rows(fused.scores, fused.scores.softmax(-1), -1)
    if fused is None or flat is None or flat.numel() < MIN_ELEMENTS:
        return
    share = float(flat.float().mean())
    if share < UNSCALED_SHARE:
        return
    scale = without_scale_inside(readings, node, fused, masked=ALLOWED, flat=FLAT)
    if share < (FLAT_SHARE if scale is None else UNSCALED_SHARE):
        return
    told: Numbers = scale or {TURNED: fused.scale}
    numbers: Numbers = {"flat": int(flat.sum()), "of": flat.numel()} | told
    numbers["median |score|"] = float(fused.scores[fused.scores > ALLOWED].abs().median())
    remedy = _remedy(True, scale, is_hint=share < FLAT_SHARE) if scale else "scale queries and keys down, or normalise them"
    yield found(
        readings.graph,
        "saturated",
        "warning" if share >= FLAT_SHARE else "hint",
        f"the softmax in {readings.name(node)} = {readings.function(node)}(...) is saturated: {share:.0%} of its rows have "
        f"local partials below {FLAT:g}" + _said_of_scale(scale),
        remedy,
        edge=readings.arguments[node][0].edge,
        numbers=numbers,
    )


def _said_of_scale(scale: Numbers | None) -> str:
    if not scale:
        return ""
    if TURNED in scale:
        number = "√d" if is_root(scale) else number_text(float(scale[TURNED]))
        usual = "by which they are to be divided" if is_root(scale) else "where they are divided by √d as a rule"
        return f"; the products of queries and keys are multiplied by {number}, {usual}"
    return "; nothing divides the products of queries and keys by √d"


def _remedy(is_softmax: bool, scale: Numbers, *, is_hint: bool) -> str:
    if not is_softmax:
        return "scale weights or inputs down, or normalise"
    if TURNED in scale and not is_root(scale):
        there, right = number_text(float(scale[TURNED])), number_text(1 / float(scale[ROOT]))
        return (
            f"multiply by 1/√d = {right} in place of {there}, unless each query is meant to pick one key; "
            "normalise queries and keys for scores of a known size"
        )
    is_hint &= TURNED not in scale
    meant = ", unless the weights are made for scores without it, as those of T5 are" if is_hint else ""
    return f"divide the logits by √d or a temperature{meant}"


def _nearly_flat(readings: Readings, node: int, op: str, value: Tensor) -> Iterator[Finding]:
    """A hidden layer, one that a matrix product reads: gates are meant to shut, and outputs to reach their limits."""
    steepest = {"tanh": 1.0, "sigmoid": 0.25}.get(op)
    users = list(readings.users(node))
    if steepest is None or value.ndim < 2 or not users or any(readings.op(user) not in MATRIX_PRODUCTS for user in users):
        return
    wide = value.float()
    slopes = 1 - wide * wide if op == "tanh" else wide * (1 - wide)
    rows = slopes.movedim(unit_dim(readings, node), 0).flatten(1) < NEARLY_FLAT * steepest
    units, samples = rows.shape
    count = int((rows.float().mean(1) > FLAT_SHARE).sum())
    if units < FEWEST_UNITS or samples < FEWEST_SAMPLES or count < NEARLY_FLAT_UNITS * units:
        return
    use = readings.arguments[node][0]
    yield found(
        readings.graph,
        "saturated",
        "hint",
        f"{count} of {units} units of {readings.name(node)} = {op}({readings.name(use.edge[0])}) are nearly flat: for more "
        f"than {FLAT_SHARE:.0%} of the samples their local partials are below {NEARLY_FLAT:.0%} of the steepest",
        "scale weights or inputs down, or normalise, unless the units are meant to be switches",
        edge=use.edge,
        numbers={"units nearly flat": count, "units": units, "share of elements nearly flat": float(rows.float().mean())},
    )


def _flat(readings: Readings, node: int, op: str, value: Tensor) -> Tensor | None:
    """Element by element, for softmax row by row, whether every local partial is below `FLAT`."""
    wide = value.float()
    if op == "sigmoid":
        return wide * (1 - wide) < FLAT
    if op == "tanh":
        return 1 - wide * wide < FLAT
    call = readings.graph.nodes[node]["call"]
    before = readings.value_of(readings.arguments[node][0])
    if call is None or before is None or value.ndim == 0:
        return None
    return _flat_rows(before, wide, call.args[1])


def _flat_rows(scores: Tensor, weights: Tensor, dim: int) -> Tensor:
    """Of each row of a softmax with a choice of more than one, whether every local partial is below `FLAT`."""
    choices = (scores > ALLOWED).sum(dim) > 1
    largest = weights.amax(dim)
    return (largest * (1 - largest) < FLAT)[choices]
