"""Local partials that the check found to be wrong: a hand-written backward, mostly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from gradviz.check import EdgeCheck, is_flat_when_run
from gradviz.diagnose.finding import Finding, Numbers, found, listed
from gradviz.diagnose.packed_values import changed_by_hooks
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.diagnose.straight_through import FLAT, goes_round_a_pole, is_flat, is_straight_through, results
from gradviz.graph import GradGraph
from gradviz.opcall import SHAPE_READING, custom_name
from gradviz.standin import is_kept


def wrong_backward(readings: Readings) -> Iterator[Finding]:
    """One finding per function into which edges are a mismatch, with the worst of them, on the line of its backward.

    A custom Function whose forward changes nothing, or is flat, is written for the sake of its backward: it reverses or
    clips a gradient, or passes it straight through a rounding.
    """
    graph = readings.graph
    applied: dict[tuple[str, str], set[int]] = {}
    for entry in readings.report.edges:
        applied.setdefault((readings.op(entry.edge[1]), entry.backward), set()).add(entry.edge[1])
    wrong: dict[tuple[str, str], list[EdgeCheck]] = {}
    for entry in wrong_edges(readings):
        wrong.setdefault((readings.op(entry.edge[1]), entry.backward), []).append(entry)
    for (op, backward), entries in wrong.items():
        worst = max(entries, key=_error)
        line = backward.rpartition(" at ")[2]
        numbers: Numbers = {}
        if worst.autograd is not None and worst.reference is not None:
            numbers |= {"backward gives": worst.autograd, "true value": worst.reference}
        numbers["error in ULP"] = worst.error_ulp
        uses = len(applied[op, backward])
        if uses > 1:
            numbers |= {"wrong uses": len({entry.edge[1] for entry in entries}), "uses": uses}
        is_meant = all(goes_round_a_pole(graph, entry.edge) for entry in entries)
        what = "at best an approximation" if is_meant else "wrong"
        yield found(
            graph,
            "wrong-backward",
            "hint" if is_meant else "error",
            f"the backward of {op} is {what}{_where(graph, entries, uses, told_apart=bool(line))}: "
            f"{worst.name}: {worst.reason}",
            _hint(op, _meant_as(graph, worst.edge[1], op, is_function=bool(backward))),
            edge=worst.edge,
            source=line or worst.source,
            numbers=numbers,
        )


def _meant_as(graph: GradGraph, node: int, op: str, *, is_function: bool) -> str:
    """How a custom Function or op is named as meant to differ; "" of torch's own, which cannot be meant."""
    call = graph.nodes[node]["call"]
    return op if is_function else "" if call is None else custom_name(call.overload)


def _hint(op: str, meant_as: str) -> str:
    """What to do about a custom Function, or about an op, whose backward has no name of its own."""
    kept = "gradviz.testing.assert_gradients keeps it right"
    if not meant_as:
        return f"correct the backward of {op}; {kept}"
    backward = f"the backward of {op}" if "::" in meant_as else f"{op}.backward"
    meant = f"graph.diagnose(report=graph.check(intended=[{meant_as!r}]))"
    return f"correct {backward}; {kept}; where it is meant to differ, as an approximation is, say so: {meant}"


def wrong_edges(readings: Readings) -> Iterator[EdgeCheck]:
    """The edges that are a mismatch which nobody means, and nothing else tells."""
    graph = readings.graph
    amiss = [entry for entry in readings.report.edges if entry.verdict == "mismatch" and not entry.hook]
    of_hooks = changed_by_hooks(graph) if amiss else {}  # of these `packed_values` tells
    redirecting: dict[tuple[str, str], bool] = {}
    for entry in amiss:
        node = entry.edge[1]
        if node in of_hooks or is_for_its_backward(graph, node):
            continue
        if is_straight_through(graph, entry.edge) or _is_flat_unseen(graph, node):
            continue
        function = (readings.op(node), entry.backward)
        if function not in redirecting:
            applied = {one.edge[1] for one in readings.report.edges if (readings.op(one.edge[1]), one.backward) == function}
            redirecting[function] = any(_redirects(readings, one) for one in applied)
        if not redirecting[function]:
            yield entry


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
    return is_flat(graph, node, FLAT, graph.nodes[node]["inner_inputs"])


def _leads_on(graph: GradGraph, node: int) -> bool:
    """Whether the calls of a forward lead from its inputs to its result; where it leaves torch, they do not."""
    reached = {id(tensor) for tensor in graph.nodes[node]["inner_inputs"] if tensor is not None}
    for call in graph.nodes[node]["inner_calls"]:
        if call.op not in SHAPE_READING and any(id(argument.tensor) in reached for argument in call.tensor_arguments()):
            reached |= {id(output) for output in call.outputs if output is not None}
    return any(id(result) in reached for result in results(graph, node))


def _hands_on(graph: GradGraph, node: int) -> bool:
    """Whether a forward returns the numbers of an input of its own, whatever it did on the way."""
    value = graph.value(node)
    given = [one for one in graph.nodes[node]["inner_inputs"] if one is not None and is_kept(one)]
    if not isinstance(value, Tensor) or not is_kept(value):
        return False
    return any(one.shape == value.shape and bool((one == value).all()) for one in given)


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


def _is_flat_unseen(graph: GradGraph, node: int) -> bool:
    """Whether a forward that leaves torch, and so has to be run again to know, moves by steps alone."""
    is_seen = graph.custom_function(node) is None or _leads_on(graph, node)
    return not is_seen and not graph.is_loaded and is_flat_when_run(graph, node)
