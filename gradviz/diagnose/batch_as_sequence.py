"""Layers that run over the samples of a batch as if these were a sequence, as `batch_first=True` was forgotten.

Shapes fit all the same. What tells is what the loss does: it has a row for each entry of dimension 0, over which the layer
runs, and takes one entry, a mean or all features of dimension 1, which the layer keeps apart as its batch. Of a recurrence
that it runs over dimension 0 is plain; of an attention a row of its output is followed back to its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.readings import MATRIX_PRODUCTS, VIEWS, Readings
from gradviz.view.notation import shape_text

ATTENTIONS = frozenset(
    {
        *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention"),
        *("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention"),
    }
)
RECURRENT = {"mkldnn_rnn_layer": 14, "_cudnn_rnn": 10}
"""Function -> the place of `batch_first` among its arguments."""
TURNING = frozenset({"transpose", "permute", "t", "movedim"})
REDUCING = frozenset({"mean", "sum", "amax", "max"})
FEWEST = 2
NEAR = 20
"""So many calls lie at most between an attention and what its module returns."""
QUESTION = "whether an attention reads the samples of a batch as one sequence"
STEPS = 3
"""A stack of so many calls, each behind the one before, is a recurrence."""


def batch_as_sequence(readings: Readings) -> Iterator[Finding]:
    """At most one, for the last such layer."""
    for node in reversed(readings.ops):
        is_recurrent = _is_recurrent(readings, node)
        if not is_recurrent and not _is_attention(readings, node):
            continue
        for output in [node] if is_recurrent else _shaped_outputs(readings, node):
            reducer = _reducer(readings, output)
            numbers = {} if is_recurrent or reducer is None else _mixed(readings, node, output)
            if reducer is not None and numbers is not None:
                yield _finding(readings, node, output, reducer, numbers)
                return


def _is_recurrent(readings: Readings, node: int) -> bool:
    """Whether a call returns the states of a recurrence over dimension 0, with its batch in dimension 1."""
    op, shape, call = readings.op(node), _shape(readings, node), readings.graph.nodes[node]["call"]
    if len(shape) != 3 or call is None or readings.graph.cotangent(node) is None:
        return False
    if op in RECURRENT:
        return call.args[RECURRENT[op]] is False
    steps = [use.edge[0] for use in readings.arguments[node]] if op == "stack" and 0 in (call.args[1:] or (0,)) else []
    return len(steps) >= STEPS and {*steps[1:]} <= readings.ahead_of(steps[0])


def _is_attention(readings: Readings, node: int) -> bool:
    if readings.graph.cotangent(node) is None:
        return False
    shape, op = _shape(readings, node), readings.op(node)
    if op == "_softmax":
        before = readings.behind(readings.arguments[node][0].edge[0])
        return len(shape) > 2 and shape[-1] == shape[-2] and readings.op(before) in MATRIX_PRODUCTS
    return op in ATTENTIONS and len(shape) == 4


def _shaped_outputs(readings: Readings, node: int) -> Iterator[int]:
    """The first values after an attention with its length in dimension 0, and what may be a batch in dimension 1."""
    length = _shape(readings, node)[-2]
    for after in sorted(readings.ahead_of(node))[:NEAR]:
        shape = _shape(readings, after)
        if len(shape) == 3 and shape[0] == length and shape[1] >= FEWEST and readings.op(after) not in TURNING:
            yield after


def _reducer(readings: Readings, output: int) -> int | None:
    """The call that leaves of dimension 1 one entry, a mean, or all as features, before a loss with a row for each of 0.

    Looked for through calls that keep both dimensions where they are.
    """
    steps, batch = _shape(readings, output)[:2]
    seen, pending = {output}, [output]
    while pending and min(steps, batch) >= FEWEST:
        tail = pending.pop()
        for use in readings.graph.uses_of(tail):
            head, shape = use.edge[1], _shape(readings, use.edge[1])
            if use.partial is None or head in seen or readings.op(head) in TURNING:
                continue
            seen.add(head)
            if _shape(readings, tail)[:2] == (steps, batch) and _drops_dimension_1(readings, tail, head):
                return head if _has_targets(readings, head, steps) else None
            if shape[:2] == (steps, batch) or shape[:1] == (steps * batch,):
                pending.append(head)
    return None


def _drops_dimension_1(readings: Readings, tail: int, head: int) -> bool:
    before, after, op = _shape(readings, tail), _shape(readings, head), readings.op(head)
    call = readings.graph.nodes[head]["call"]
    if op in ("view", "_unsafe_view", "reshape") and len(before) == 3:
        return after == (before[0], before[1] * before[2])
    if (op != "select" and op not in REDUCING) or call is None or len(call.args) < 2:
        return False
    dims = call.args[1] if isinstance(call.args[1], (list, tuple)) else [call.args[1]]
    return [dim % len(before) for dim in dims if isinstance(dim, int)] == [1]


def _has_targets(readings: Readings, node: int, rows: int) -> bool:
    """Whether what follows is compared with so many rows of data."""
    return any(
        use.partial is None and _shape(readings, use.edge[0])[:1] == (rows,)
        for head in readings.ahead_of(node)
        for use in readings.arguments[head]
    )


def _mixed(readings: Readings, attention: int, output: int) -> Numbers | None:
    """How far the last row of an attention's output reads; None unless that is other rows of its own column only."""
    graph, shape = readings.graph, _shape(readings, output)
    value = graph.value(output)
    before = {node for node in readings.behind_of(attention) if _shape(readings, node)[:2] == shape[:2]}
    if value is None or not before or _are_heads(readings, max(before)):
        return None
    if graph.is_loaded:
        readings.unanswered.setdefault(QUESTION, output)
        return None
    start = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
    start[-1, 0] = torch.linspace(1, 2, shape[2], dtype=value.dtype)  # a sum of equal parts is none behind a layer norm
    arrived = followed_back(readings, output, start, max(before))
    if arrived is None:
        return None
    is_read = (arrived != 0).flatten(2).any(-1)
    others = int(is_read[:-1, 0].sum())
    if not others or bool(is_read[:, 1:].any()):
        return None
    return {"rows that the last row reads": others + int(is_read[-1, 0]), "columns that it reads": 1}


def _are_heads(readings: Readings, node: int) -> bool:
    """Whether dimension 1 was split off the features of each row: one sample's heads lie where a batch would."""
    kept = _shape(readings, node)[:2]
    while readings.op(node) in VIEWS and _shape(readings, node)[:2] == kept:
        tail = readings.arguments[node][0].edge[0]
        if _shape(readings, tail)[-1:] == (math.prod(_shape(readings, node)[1:]),):
            return True
        node = tail
    return False


def followed_back(readings: Readings, output: int, start: Tensor, end: int) -> Tensor | None:
    """What arrives at the value of `end` of a cotangent at `output`."""
    graph = readings.graph
    between = readings.ahead_of(end) | {end}
    arrived: dict[tuple[int, int], Tensor] = {(output, graph.nodes[output]["outputs"][0]): start}
    for head in sorted((node for node in between if end < node <= output), reverse=True):
        for place in graph.nodes[head]["outputs"]:
            cotangent = arrived.pop((head, place), None)
            for use in readings.arguments[head] if cotangent is not None else ():
                partial = graph.partials_of(use.edge).get(place)
                if partial is None or use.edge[0] not in between or cotangent is None:
                    continue
                key, added = (use.edge[0], use.output), partial.vjp(cotangent)
                arrived[key] = arrived[key] + added if key in arrived else added
    return arrived.get((end, graph.nodes[end]["outputs"][0]))


def _finding(readings: Readings, node: int, output: int, reducer: int, numbers: Numbers) -> Finding:
    graph, shape = readings.graph, _shape(readings, output)
    module = graph.nodes[node]["module"]
    op = readings.op(reducer)
    how = "one entry is used" if op == "select" else "all entries become features"
    how = f"the {op} is taken" if op in REDUCING else how
    return found(
        graph,
        "batch-as-sequence",
        "hint",
        f"{module or readings.function(node)} runs over dimension 0 of {readings.name(output)} {shape_text(shape)}, and "
        f"keeps dimension 1 apart as its batch, of which {how}; but the loss has {shape[0]} rows, one for each entry of "
        "dimension 0: "
        "samples of a batch are read as if they were one sequence",
        "pass batch_first=True where data are (batch, time, features), or transpose them before and after",
        node=output if not graph.nodes[node]["source"] else node,
        numbers={"steps that it runs over": shape[0], "rows of the loss": shape[0], "its batch": shape[1]} | numbers,
    )


def _shape(readings: Readings, node: int) -> tuple[int, ...]:
    """The shape of a node's first used output."""
    attributes = readings.graph.nodes[node]
    shape = attributes["shape"]
    return tuple(shape[attributes["outputs"][0]] if len(attributes["outputs"]) > 1 else shape)
