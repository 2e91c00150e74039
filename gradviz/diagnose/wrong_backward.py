"""Local partials that the check found to be wrong: a hand-written backward, mostly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from gradviz.check import EdgeCheck, is_flat_when_run
from gradviz.diagnose.finding import Finding, Numbers, found, listed
from gradviz.diagnose.packed_values import changed_by_hooks
from gradviz.diagnose.readings import COPIES, FLAT_FUNCTIONS, STEPS, Readings
from gradviz.graph import Edge, GradGraph
from gradviz.opcall import SHAPE_READING, OpCall, is_inexact
from gradviz.standin import is_kept

FLAT = FLAT_FUNCTIONS | SHAPE_READING
MEASURING = frozenset(
    {
        *("amax", "amin", "aminmax", "kthvalue", "linalg_vector_norm", "max", "mean", "median", "min", "norm", "std", "sum"),
        *("var", "var_mean"),
    }
)
"""Functions that a quantizer measures its scale with."""


def wrong_backward(readings: Readings) -> Iterator[Finding]:
    """One finding per function into which edges are a mismatch, with the worst of them, on the line of its backward.

    A custom Function whose forward changes nothing, or is flat, is written for the sake of its backward: it reverses or
    clips a gradient, or passes it straight through a rounding.
    """
    graph = readings.graph
    applied: dict[tuple[str, str], set[int]] = {}
    wrong: dict[tuple[str, str], list[EdgeCheck]] = {}
    is_amiss = any(entry.verdict == "mismatch" for entry in readings.report.edges)
    of_hooks = changed_by_hooks(graph) if is_amiss else {}  # of these `packed_values` tells
    for entry in readings.report.edges:
        function = (readings.op(entry.edge[1]), entry.backward)
        applied.setdefault(function, set()).add(entry.edge[1])
        is_told = bool(entry.hook) or entry.edge[1] in of_hooks
        is_wrong = entry.verdict == "mismatch" and not is_told and not is_for_its_backward(graph, entry.edge[1])
        if is_wrong and not _is_straight_through(graph, entry.edge) and not _is_flat_unseen(graph, entry.edge[1]):
            wrong.setdefault(function, []).append(entry)
    for (op, backward), entries in wrong.items():
        if any(_redirects(readings, node) for node in applied[op, backward]):
            continue
        worst = max(entries, key=_error)
        line = backward.rpartition(" at ")[2]
        numbers: Numbers = {}
        if worst.autograd is not None and worst.reference is not None:
            numbers |= {"backward gives": worst.autograd, "true value": worst.reference}
        numbers["error in ULP"] = worst.error_ulp
        uses = len(applied[op, backward])
        if uses > 1:
            numbers |= {"wrong uses": len({entry.edge[1] for entry in entries}), "uses": uses}
        yield found(
            graph,
            "wrong-backward",
            "error",
            f"the backward of {op} is wrong{_where(graph, entries, uses, told_apart=bool(line))}: "
            f"{worst.name}: {worst.reason}",
            f"correct {op}.backward; gradviz.testing.assert_gradients keeps it right; where it is meant to differ, as an "
            f"approximation is, say so: graph.diagnose(report=graph.check(intended=[{op!r}]))",
            edge=worst.edge,
            source=line or worst.source,
            numbers=numbers,
        )


def _error(entry: EdgeCheck) -> float:
    return math.inf if math.isnan(entry.error_ulp) else entry.error_ulp


def _where(graph: GradGraph, entries: Sequence[EdgeCheck], uses: int, *, told_apart: bool) -> str:
    """In which uses, by which arguments, and, where the finding names another line, where these are."""
    lines = listed(list(dict.fromkeys(entry.source for entry in entries if entry.source))) if told_apart else ""
    if uses == 1 and len(entries) == 1:
        return f" (applied at {lines})" if lines else ""
    worst = "; the worst" if len(entries) > 1 else ""
    ordered = sorted(entries, key=lambda entry: entry.edge[2])
    names = list(dict.fromkeys(graph.edges[one.edge]["argument"] or f"argument {one.edge[2]}" for one in ordered))
    heads = len({entry.edge[1] for entry in entries})
    of_uses = "" if uses == 1 else f" in all of its {uses} uses" if heads == uses else f" in {heads} of its {uses} uses"
    return f" for {listed(names)}{of_uses}" + (f" (applied at {lines})" if lines else "") + worst


def is_for_its_backward(graph: GradGraph, node: int) -> bool:
    """Whether a forward is nothing but a copy, or its input reaches its output through steps only."""
    calls, function = graph.nodes[node]["inner_calls"], graph.custom_function(node)
    if not calls:
        return False
    if not _leads_on(graph, node):
        return _hands_on(graph, node)
    if all(call.op in COPIES for call in calls):
        return function is None or not function.read or _hands_on(graph, node)
    return _is_flat(graph, node, FLAT, graph.nodes[node]["inner_inputs"])


def _leads_on(graph: GradGraph, node: int) -> bool:
    """Whether the calls of a forward lead from its inputs to its result; where it leaves torch, they do not."""
    reached = {id(tensor) for tensor in graph.nodes[node]["inner_inputs"] if tensor is not None}
    for call in graph.nodes[node]["inner_calls"]:
        if call.op not in SHAPE_READING and any(id(argument.tensor) in reached for argument in call.tensor_arguments()):
            reached |= {id(output) for output in call.outputs if output is not None}
    return any(id(result) in reached for result in _results(graph, node))


def _hands_on(graph: GradGraph, node: int) -> bool:
    """Whether a forward returns the numbers of an input of its own, whatever it did on the way."""
    value = graph.value(node)
    given = [one for one in graph.nodes[node]["inner_inputs"] if one is not None and is_kept(one)]
    if not isinstance(value, Tensor) or not is_kept(value):
        return False
    return any(one.shape == value.shape and bool((one == value).all()) for one in given)


def _is_flat(graph: GradGraph, node: int, flat: frozenset[str], inputs: Iterable[Tensor | None]) -> bool:
    """Whether some inputs of a forward reach its results through the functions `flat`, indices or masks alone."""
    varying = {id(tensor) for tensor in inputs if tensor is not None}
    for call in graph.nodes[node]["inner_calls"]:
        if call.op not in flat and any(id(argument.tensor) in varying for argument in call.tensor_arguments()):
            varying |= {id(output) for output in call.outputs if output is not None and is_inexact(output)}
    return not any(id(result) in varying for result in _results(graph, node))


def _results(graph: GradGraph, node: int) -> Iterator[Tensor]:
    """What is used of what a forward returned, and can vary; where its calls did not make it, what the last one made."""
    attributes = graph.nodes[node]
    calls = attributes["inner_calls"]
    known = {id(output) for call in calls for output in call.outputs} | {id(given) for given in attributes["inner_inputs"]}
    for place in attributes["outputs"]:
        value = graph.value(node, place)
        if value is not None and id(value) in known:
            yield from (value,) if is_inexact(value) else ()
        else:
            yield from (output for output in calls[-1].outputs if output is not None)


def _is_straight_through(graph: GradGraph, edge: Edge) -> bool:
    """Whether a forward rounds its argument, and its backward takes no notice, or it is the scale of such a rounding.

    The step size of a learned quantizer is rounded with what it divides, and multiplied in again behind the rounding: its
    gradient follows from what is passed straight through, and is no derivative of the forward either.
    """
    if graph.is_loaded or not _is_rounded(graph, edge):
        return False
    return any(_is_rounded(graph, use.edge) and _passes_through(graph, use.edge) for use in graph.arguments_of(edge[1]))


def _passes_through(graph: GradGraph, edge: Edge) -> bool:
    """Whether an argument reaches the results by steps that may be measured off it, and goes on as it is going back.

    A quantizer whose scale is the largest element depends on its argument through more than steps. Its backward passes each
    element on as it is, or stops it; one that stops them all passes nothing through.
    """
    _, head, position = edge
    if graph.edges[edge]["partial"] is None:
        return False
    if not _is_flat(graph, head, FLAT | MEASURING, graph.nodes[head]["inner_inputs"][position : position + 1]):
        return False
    (partial,) = list(graph.partials_of(edge).values())[:1]
    if partial.in_shape != partial.out_shape:
        return False
    drawn = torch.randn(partial.out_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cotangent = drawn.to(partial.out_dtype)
    passed = partial.vjp(cotangent).to(cotangent)
    return bool(((passed == cotangent) | (passed == 0)).all()) and bool((passed != 0).any())


def _is_rounded(graph: GradGraph, edge: Edge) -> bool:
    """Whether a step that reads something made of the argument is on its way to a result."""
    _, head, position = edge
    held = graph.nodes[head]["inner_inputs"]
    made = {id(one) for one in held[position : position + 1] if one is not None}
    stepped: set[int] = set()
    for call in graph.nodes[head]["inner_calls"]:
        read = {id(argument.tensor) for argument in call.tensor_arguments()}
        if call.op in SHAPE_READING or not read & made:
            continue
        outputs = {id(output) for output in call.outputs if output is not None}
        made |= outputs
        if _is_rounding(call) or read & stepped:
            stepped |= outputs
    return any(id(result) in stepped for result in _results(graph, head))


def _redirects(readings: Readings, node: int) -> bool:
    """Whether a backward gives an argument that its forward never reads the gradient that it keeps from one that is read.

    So does an estimator that sends the gradient of a sampled gate to the scores (SparseMixer). A forward that forgets an
    argument whose gradient is computed all the same still passes on the gradients of the others.
    """
    graph = readings.graph
    read = graph.nodes[node]["inner_inputs"]
    if not graph.nodes[node]["inner_calls"] or not _leads_on(graph, node):
        return False
    gets: dict[bool, list[bool]] = {True: [], False: []}
    for use in readings.arguments[node]:
        if use.partial is not None and use.edge[2] < len(read):
            gets[read[use.edge[2]] is not None].append(bool(readings.norm(use.contribution)))
    return any(gets[False]) and bool(gets[True]) and not any(gets[True])


def _is_rounding(call: OpCall) -> bool:
    """Whether a call rounds, or casts to whole numbers, which cuts digits off."""
    if call.op != "_to_copy":
        return call.op in STEPS
    read = next(call.tensor_arguments()).tensor
    return is_inexact(read) and not any(one is not None and is_inexact(one) for one in call.outputs)


def _is_flat_unseen(graph: GradGraph, node: int) -> bool:
    """Whether a forward that leaves torch, and so has to be run again to know, moves by steps alone."""
    is_seen = graph.custom_function(node) is None or _leads_on(graph, node)
    return not is_seen and not graph.is_loaded and is_flat_when_run(graph, node)
