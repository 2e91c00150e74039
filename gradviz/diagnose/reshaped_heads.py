"""Heads of an attention that are split off or merged by a reshape alone, without the transpose that must go with it.

`y.reshape(B, T, H * D)` of heads (B, H, T, D) fits, and puts several positions of one head into each row; so does
`x.view(B, H, T, D)` of features (B, T, H * D), which gives each head a stretch of the sequence. What tells is where each
number came from: units of the layer that made the values are numbered and followed to where heads are, positions to the next
layer. Sizes alone are not read, so as many heads as positions, or only one of either, mislead nobody. Of as many a view
leaves each head one row, and what follows tells whether its places are taken for positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from gradviz.diagnose.attention_dim import RESHAPING
from gradviz.diagnose.attentions import KEEPING, Attention, attentions, carried, way_back
from gradviz.diagnose.finding import Finding, Severity, found
from gradviz.diagnose.inverted_mask import reads_one_way
from gradviz.diagnose.readings import Readings
from gradviz.graph import Use
from gradviz.view.notation import shape_text

LAYERS = {"mm": "self", "addmm": "mat1"}
"""Function -> the argument whose rows it reads."""
WITH_UNITS_LAST = LAYERS.keys() | {"native_layer_norm", "_fused_rms_norm", "embedding"}


def reshaped_heads(readings: Readings) -> Iterator[Finding]:
    """One for each attention whose values are no heads, or whose heads are not merged position by position."""
    for attention in attentions(readings):
        way = way_back(readings, attention.values)
        if (origins := _origins(readings, attention, way)) is None:
            continue
        units, rows = origins
        if not _varies(units, -2):
            yield from _merged(readings, attention, units[..., 0, 0], rows[..., 0, 0])
        elif not _varies(rows, -1):
            among_rows = _varies(rows, -2)
            severity: Severity | None = "error"
            if not among_rows:
                severity = _are_positions_heads(readings, attention, way, units, rows)
            if severity is not None:
                yield from _split(readings, way, units, severity)


def _origins(readings: Readings, attention: Attention, way: list[Use]) -> tuple[Tensor, Tensor] | None:
    """Of which unit and of which row of the layer that made them the values (..., S, D) are; None where no layer did."""
    source = readings.graph.value(way[0].edge[0], way[0].output)
    is_convolution = readings.op(way[0].edge[0]) == "convolution"
    if source is None or source.ndim < 2 or not (is_convolution or readings.op(way[0].edge[0]) in WITH_UNITS_LAST):
        return None
    dim = 1 if is_convolution else source.ndim - 1
    units = carried(readings, _numbered(source, dim), way)
    if units is None:
        return None
    return units.movedim(attention.rows, -2), _rows(readings, source, dim, way).movedim(attention.rows, -2)


def _numbered(tensor: Tensor, dim: int) -> Tensor:
    """The place along one dimension, at each element."""
    shape = [size if place == dim else 1 for place, size in enumerate(tensor.shape)]
    return torch.arange(tensor.shape[dim]).view(shape).expand(tensor.shape)


def _rows(readings: Readings, source: Tensor, dim: int, way: list[Use]) -> Tensor:
    """Of which row of the layer, a sample's position, each number is."""
    shape = [1 if place == dim else size for place, size in enumerate(source.shape)]
    rows = carried(readings, torch.arange(math.prod(shape)).view(shape).expand(source.shape), way)
    return torch.zeros(1, 1) if rows is None else rows


def _varies(places: Tensor, axis: int) -> bool:
    return bool((places != places.narrow(axis, 0, 1)).any())


def _are_positions_heads(
    readings: Readings, attention: Attention, way: list[Use], units: Tensor, rows: Tensor
) -> Severity | None:
    """How sure it is that each head has one row of the layer, spread over as many positions as there are heads.

    An attention among the features of each row has such values too. What tells is that what follows reads each place as a
    position: a merge of the features of all heads there. A causal mask is a hint, as parts of a row may be masked so, too;
    none where another attention reads one row from another, as one that was split the same way does not.
    """
    keys, features = units.shape[-2:]
    is_split = any(
        whole.shape[-2:] == (keys, keys * features) and parts.shape == (*whole.shape[:-2], keys, keys, features)
        for _, whole, parts in _views(readings, way)
    )
    sums = readings.graph.value(attention.node)
    if not is_split or not _varies(rows, -3) or sums is None or sums.ndim < 3:
        return None
    positions = _numbered(sums, sums.ndim + attention.rows)
    moved = (carried(readings, positions, ahead) for ahead in _ways_ahead(readings, attention.node))
    if any(one is not None and one.shape[-1] == keys * features and not _varies(one, -1) for one in moved):
        return "error"
    return "hint" if reads_one_way(readings, attention) and not _reads_rows_elsewhere(readings) else None


def _reads_rows_elsewhere(readings: Readings) -> bool:
    """Whether any attention reads some rows of a layer from others."""
    found = (_origins(readings, one, way_back(readings, one.values)) for one in attentions(readings))
    return any(origins is not None and _varies(origins[1], -2) for origins in found)


def _views(readings: Readings, way: list[Use]) -> Iterator[tuple[Use, Tensor, Tensor]]:
    """(edge into it, what it reads, what it makes) of the views on a way."""
    for before, after in pairwise(way):
        whole, parts = readings.value_of(before), readings.value_of(after)
        if readings.op(before.edge[1]) in ("view", "_unsafe_view", "reshape") and whole is not None and parts is not None:
            yield before, whole, parts


def _split(readings: Readings, way: list[Use], units: Tensor, severity: Severity) -> Iterator[Finding]:
    """Values (..., S, D) that a view made of (..., S, H * D)."""
    keys, features = units.shape[-2:]
    for before, whole, parts in _views(readings, way):
        if whole.ndim < 2 or whole.shape[-1] % features or whole.shape[-1] < 2 * features:
            continue
        heads = whole.shape[-1] // features
        is_time_first = _is_time_first(whole, parts)
        if whole.shape[-2] != keys and not is_time_first:
            continue
        split = f"(..., {heads}, {features}).transpose(-3, -2)"
        split = f"({keys}, -1, {features}).transpose(0, 1)" if is_time_first else split
        holds = f"a head gets all {whole.shape[-1]} features of some rows, spread over {heads} of its {keys} positions"
        if heads == keys:
            holds = f"a head gets all {whole.shape[-1]} features of one row, spread over its {keys} positions"
        yield found(
            readings.graph,
            "reshaped-heads",
            severity,
            f"a view makes the heads {readings.name(before.edge[1])} {shape_text(tuple(parts.shape))} of "
            f"{readings.graph.output_name(before.edge[0], before.output)} {shape_text(tuple(whole.shape))} without a "
            f"transpose: {holds}, and nothing of the others",
            f"split the features first, then move the heads: .view{split}"
            + ("; all is well where the causal mask is one among the parts of each row" if severity == "hint" else ""),
            edge=before.edge,
            numbers={"heads": heads, "positions": keys, "units in one column of a head": units[..., 0].unique().numel()},
        )
        return


def _is_time_first(whole: Tensor, parts: Tensor) -> bool:
    """Whether (T, B, H * D) became (B * H, T, D); where T is B * H, parts may as well be tokens of T samples."""
    if whole.ndim != 3 or parts.ndim != 3 or parts.shape[0] == whole.shape[0]:
        return False
    heads = whole.shape[-1] // parts.shape[-1]
    return parts.shape == (whole.shape[1] * heads, whole.shape[0], whole.shape[2] // heads)


def _merged(readings: Readings, attention: Attention, units: Tensor, rows: Tensor) -> Iterator[Finding]:
    """Sums (..., T, D) of several heads that come to a layer with several positions in each row of H * D.

    The first unit and row of each head tell the heads of a sample apart, and one sample from the next; heads may share both.
    """
    sums = readings.graph.value(attention.node)
    heads = rows.numel() // rows.unique().numel()
    if sums is None or sums.ndim < 3 or units.unique().numel() < 2 or sums.shape[attention.rows] < 2:
        return
    features = sums.shape[-2 if attention.is_turned else -1]
    positions = _numbered(sums, sums.ndim + attention.rows)
    for way in _ways_ahead(readings, attention.node):
        places = carried(readings, positions, way)
        if places is None or places.shape[-1] != heads * features:
            continue
        mixed = (places != places[..., :1]).any(-1)
        if bool(mixed.any()):
            yield found(
                readings.graph,
                "reshaped-heads",
                "error",
                f"a reshape makes {readings.name(way[-1].edge[0])} {shape_text(tuple(places.shape))} of the {heads} heads "
                f"{readings.graph.output_name(attention.node, 0)} {shape_text(tuple(sums.shape))} without a transpose: a "
                f"row of {heads * features} features, which {readings.name(way[-1].edge[1])} reads as one position, holds "
                "several positions of one head",
                "move the heads beside their features first: .transpose(1, 2).reshape(...)",
                edge=way[-1].edge,
                numbers={"rows of several positions": int(mixed.sum()), "rows": mixed.numel(), "heads": heads},
            )
            return


def _ways_ahead(readings: Readings, node: int) -> Iterator[list[Use]]:
    """The edges from the sums to each layer, residual or norm that reads them, moved but whole."""
    pending = [[use] for use in readings.graph.uses_of(node) if use.partial is not None and use.output == 0]
    while pending:
        way = pending.pop()
        head, use = way[-1].edge[1], way[-1]
        op, read, made = readings.op(head), readings.value_of(use), next(readings.values(head), None)
        if readings.graph.cotangent(head) is None or read is None or made is None:
            continue
        is_residual = op == "add" and sum(other.partial is not None for other in readings.arguments[head]) > 1
        if LAYERS.get(op) == use.argument or op == "native_layer_norm" or (is_residual and read.shape == made.shape):
            yield way
        elif op in RESHAPING or (op in KEEPING and read.shape == made.shape):
            pending += [[*way, further] for further in readings.graph.uses_of(head) if further.partial is not None]
