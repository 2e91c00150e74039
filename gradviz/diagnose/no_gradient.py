"""A leaf that gets no gradient, and the call that keeps it away: detach, no_grad, a cast to integers, a way out of torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from gradviz.diagnose.codes import behind, lookups, without_a_way
from gradviz.diagnose.constant_term import BACKWARD
from gradviz.diagnose.finding import LISTED, Finding, Severity, found, listed
from gradviz.diagnose.readings import Readings
from gradviz.diagnose.ways import cuts_behind, main_cut, withheld_behind
from gradviz.diagnose.wrong_backward import wrong_edges
from gradviz.graph import GradGraph, Use
from gradviz.opcall import SHAPE_READING, is_inexact

WITHHELD = "withheld"
"""The cut of an edge for which the backward of a custom Function gives None."""
MEANT = frozenset({"detach", "no_grad", "item", "dropped", WITHHELD})
"""How code keeps a gradient from a whole model on purpose: a generator in the discriminator's step, a target network."""
FILLING = frozenset(
    {
        *("add", "sub", "mul", "div", "index_add", "index_copy", "index_fill", "index_put", "index_reduce"),
        *("masked_fill", "masked_scatter", "scatter", "scatter_add", "scatter_reduce"),
    }
)
"""Functions with a twin in place that one calls to change a tensor."""
MOVES_CODES = (
    "add the loss that moves the codes, mse(codes, z.detach()), where z is what was encoded; where a moving average does "
    "that, make them a buffer, or call requires_grad_(False) on them"
)
_CUTS: dict[str, tuple[str, Severity, str]] = {
    "detach": (
        "detached",
        "warning",
        "remove .detach() or .data; where these parameters are frozen on purpose, call requires_grad_(False) on them",
    ),
    "no_grad": (
        "no-grad",
        "warning",
        "take it out of torch.no_grad(); where these parameters are frozen on purpose, call requires_grad_(False) on them",
    ),
    "integer": (
        "integer-cast",
        "error",
        "integers and booleans have no derivative: keep the value a float, or use a smooth stand-in for the gradient",
    ),
    "step": (
        "step-function",
        "error",
        "use a smooth stand-in (softmax for argmax, sigmoid for a comparison), or a straight-through estimator",
    ),
    "unseen": (
        "not-an-argument",
        "error",
        "hand it to the apply of that Function, and return its gradient from backward: what forward reads otherwise, by a "
        "closure or a module, counts as a constant",
    ),
    "marked": (
        "step-function",
        "error",
        "where the backward knows its derivative, take mark_non_differentiable out of the forward",
    ),
    "not differentiable": ("step-function", "error", "use an op that torch differentiates"),
    WITHHELD: (
        "detached",
        "warning",
        "return its gradient from backward, or call requires_grad_(False) on what shall not learn",
    ),
    "item": ("left-torch", "error", "compute on with the tensor itself, not with a Python number or an array made from it"),
}


def no_gradient(readings: Readings) -> Iterator[Finding]:
    """Leaves of the graph whose every way to the output is cut, told once per cut.

    Of a whole model that may be meant, unless its optimizer trains it together with parameters that a gradient does reach.
    """
    graph = readings.graph
    optimized, at_work = _optimizers(graph)
    tables = {lookup.table for lookup in lookups(readings)}
    cuts = _cuts_by_line(readings, optimized, at_work)
    owners = {name: (graph.nodes[leaf]["root"], optimized.get(name, "")) for name, leaf in graph.leaves.items()}
    behind, lines = _joined({where: list(uses) for where, uses in cuts.items()}, owners)
    for where, names in behind.items():
        uses = list(cuts[where].values())
        kind, severity, hint, said = _told(readings, uses, lines.get(where, ""))
        optimizer = optimized.get(names[0])
        if {graph.leaves[name] for name in names} <= tables:
            hint = MOVES_CODES
        yield found(
            graph,
            kind,
            severity,
            f"no gradient reaches {listed(names)}: {said}{_together(names, optimizer, at_work)}",
            hint,
            edge=uses[-1].edge,
            numbers={"leaves without gradient": len(names)},
        )


def _optimizers(graph: GradGraph) -> tuple[dict[str, str], set[str]]:
    """(leaf -> the optimizer that holds it, the optimizers of leaves that a gradient reaches)."""
    optimized = {name: held.optimizer for name, held in graph.optimized().items()}
    return optimized, {optimized[name] for name in _learning(graph) if name in optimized}


def _together(names: Sequence[str], optimizer: str | None, at_work: Collection[str]) -> str:
    them = "it" if len(names) == 1 else "them"
    return f"; {optimizer} holds {them} together with parameters that learn" if optimizer in at_work else ""


def _learning(graph: GradGraph) -> dict[str, int]:
    """The leaves that a gradient reaches."""
    return {name: node for name, node in graph.leaves.items() if graph.cotangent(node) is not None}


def _cuts_by_line(
    readings: Readings, optimized: Mapping[str, str], at_work: Collection[str]
) -> dict[tuple[str, str], dict[str, Use]]:
    """(line, cut) -> the leaves that get no gradient for it, each with the edge that cuts its main way.

    Args:
        optimized: leaf -> the optimizer that holds it.
        at_work: the optimizers of leaves that a gradient reaches.
    """
    graph = readings.graph
    learning = _learning(graph)
    told = {name for lookup in without_a_way(readings) for name in behind(readings, lookup)}
    moved = graph.moved_leaves()  # as a moving average moves codes: no gradient shall
    reached = {graph.nodes[node]["root"] for node in learning.values()}
    cuts: dict[tuple[str, str], dict[str, Use]] = {}
    for name, leaf in graph.leaves.items():
        if name in learning or name in told or name in moved:
            continue
        cutting = (use for use in cuts_behind(graph, leaf) if readings.op(use.edge[1]) not in SHAPE_READING)
        found_cuts = [*cutting, *_withheld(readings, leaf)]
        root = graph.nodes[leaf]["root"]
        if not root and not graph.nodes[leaf]["is_named"] and any(reached):
            continue  # a point that the step made, as an attack or a sampler does, while it trains a module
        if not root and name not in optimized and any(reached) and _is_differentiated_within(readings, leaf):
            continue  # a point that requires grad for `torch.autograd.grad` in the step alone
        if not root and any(reached) and optimized.get(name) not in at_work and _is_weight(readings, leaf, found_cuts):
            continue
        is_apart = bool(root) and root not in reached and optimized.get(name) not in at_work
        if found_cuts and not (is_apart and all(use.cut in MEANT for use in found_cuts)):
            cut = main_cut(graph, found_cuts)
            cuts.setdefault((graph.nodes[cut.edge[1]]["source"], cut.cut), {})[name] = cut
    return cuts


def _is_weight(readings: Readings, leaf: int, cuts: Sequence[Use]) -> bool:
    """Whether a leaf is one number that the code detaches: a weight of terms, as a temperature with a loss of its own."""
    value = readings.graph.value(leaf)
    return value is not None and value.numel() == 1 and bool(cuts) and all(use.cut in ("detach", "no_grad") for use in cuts)


def _is_differentiated_within(readings: Readings, leaf: int) -> bool:
    """Whether the step computes a derivative, by a function that only a backward pass calls, from a leaf's numbers."""
    return any(readings.op(node).endswith(BACKWARD) and leaf in readings.made_of(node) for node in readings.ops)


def _withheld(readings: Readings, leaf: int) -> list[Use]:
    """The edges behind a leaf for which a backward gives None, as cuts; but for those that are told as a wrong backward."""
    held = list(withheld_behind(readings.graph, leaf))
    told = {entry.edge for entry in wrong_edges(readings)} if held else set()
    return [use._replace(cut=WITHHELD) for use in held if use.edge not in told]


def _told(readings: Readings, uses: Sequence[Use], lines: str) -> tuple[str, Severity, str, str]:
    """(kind, severity, hint, what is said) of edges of one line that cut for the same reason; `lines`: what of others."""
    tail, head, _ = uses[-1].edge
    op, why = readings.op(head), uses[-1].cut
    reason = _reason_in_function(readings.graph, uses[-1]) if why == "not differentiable" else ""
    kind, severity, hint = _CUTS[reason or _reason(op, why)]
    said = f"{op} cuts the way from {readings.name(tail)} to {readings.name(head)} ({why}{lines})"
    carried = readings.value_of(uses[-1])
    if readings.op(tail) and carried is not None and not is_inexact(carried) and reason == "":
        kind, severity, hint = _CUTS["step"]
        found_there = readings.graph.output_name(tail, uses[-1].output)
        said = f"{readings.op(tail)} finds {found_there}, which are whole numbers and have no derivative"
    elif why == WITHHELD:
        said = f"the backward of {op} gives None for {readings.name(tail)}"
    elif reason == "unseen":
        read = list(dict.fromkeys(readings.name(use.edge[0]) for use in uses if use.edge[1] == head))
        what = "them as arguments" if len(read) > 1 else f"{read[0]} as an argument"
        said = f"the forward of {op} reads {listed(read)}, and is not given {what}: its backward cannot know"
    elif reason == "marked":
        said = f"{readings.op(tail)} marks {readings.name(tail)} as not differentiable"
    if "normal" in (readings.op(user) for user in (head, *readings.users(head))):
        hint = "draw with .rsample(), or write mean + std * torch.randn_like(std)"
    return kind, severity, hint, said


def _reason_in_function(graph: GradGraph, use: Use) -> str:
    """Why a custom Function passes no gradient on, as a key of the cuts; "" where it is none of that.

    Into one: each argument that needs a gradient has a way back, but not what its forward reads otherwise. Out of one: its
    forward says that the result has no derivative.
    """
    tail, head, _ = use.edge
    is_given = _is_given(graph, use) if _is_smooth_function(graph, head) else True
    if not _is_smooth_function(graph, tail):
        return "" if is_given else "unseen"
    return {True: "marked", False: "unseen", None: ""}[is_given]


def _is_given(graph: GradGraph, use: Use) -> bool | None:
    """Whether a custom Function was applied to what an edge carries; None where that was not seen."""
    _, head, position = use.edge
    function = graph.custom_function(head)
    if function is None or function.args is None:
        return True if use.argument else None
    held = graph.nodes[head]["inner_inputs"]
    return position < len(held) and any(argument is held[position] for argument in function.args)


def _is_smooth_function(graph: GradGraph, node: int) -> bool:
    """Whether this is a custom Function with a result that could have a derivative."""
    attributes = graph.nodes[node]
    values = attributes["value"] if isinstance(attributes["value"], tuple) else (attributes["value"],)
    is_custom = graph.custom_function(node) is not None or (attributes["inner_calls"] and attributes["op"] != "copy_slices")
    return bool(is_custom) and any(value is not None and value.is_floating_point() for value in values)


def _joined(
    behind: dict[tuple[str, str], list[str]], owners: dict[str, tuple[str, str]]
) -> tuple[dict[tuple[str, str], list[str]], dict[tuple[str, str], str]]:
    """(the leaves by line and cut, what is said of other lines).

    What `no_grad` cuts in many lines from one model is told once: a part of the model runs under it.

    Args:
        behind: the leaves by line and cut.
        owners: leaf -> the outermost module and the optimizer that hold it.
    """
    models: dict[frozenset[tuple[str, str]], list[tuple[str, str]]] = {}
    for where, names in behind.items():
        if where[1] == "no_grad":
            models.setdefault(frozenset(owners[name] for name in names), []).append(where)
    joined, lines = dict(behind), {}
    for first, *others in models.values():
        if len(others) >= LISTED:
            joined[first] = [*behind[first], *(name for where in others for name in joined.pop(where))]
            lines[first] = f", as {len(others)} other lines do"
    return joined, lines


def lost_leaves(readings: Readings) -> Iterator[Finding]:
    """Leaves that the graph does not hold, because nothing computed from them is in it, told once per place and reason.

    Of a whole model that may be meant, as of numbers that are printed, unless its optimizer trains it together with
    parameters that a gradient does reach.
    """
    graph = readings.graph
    reached = {graph.nodes[node]["root"] for node in graph.leaves.values() if graph.cotangent(node) is not None}
    optimized, at_work = _optimizers(graph)
    groups: dict[tuple[str, str, str, str], list[str]] = {}
    first_line: dict[str, str] = {}
    for name, (root, reason, op, source) in graph.graph.get("lost_leaves", {}).items():
        is_apart = bool(root) and root not in reached and optimized.get(name) not in at_work
        if not (is_apart and reason in MEANT):
            if reason == "no_grad":  # a part of the model runs under it, however many lines and calls that are
                op, source = "", first_line.setdefault(root, source)
            groups.setdefault((root, reason, op, source), []).append(name)
    for (_, reason, op, source), names in groups.items():
        kind, severity, message, hint = _lost(reason, op)
        yield found(
            graph,
            kind,
            severity,
            f"no gradient reaches {listed(names)}: {message}{_together(names, optimized.get(names[0]), at_work)}",
            hint,
            source=source,
            numbers={"leaves without gradient": len(names)},
        )


def _lost(reason: str, op: str) -> tuple[str, Severity, str, str]:
    """(kind, severity, message, hint)"""
    if reason == "unused":
        return "unused-parameter", "warning", "the traced code does not use it", "use it, or remove it from the model"
    if reason == "dropped":
        return (
            "unused-parameter",
            "warning",
            f"what {op} computed from it does not lead to the output: it was dropped, or left torch through .tolist()",
            f"{op} is not in place: assign its result, h = h.{op}(...), or call {op}_; or do not compute it"
            if op in FILLING
            else "use the result in the output, or do not compute it",
        )
    if reason == "wrapped as a new leaf":
        return (
            "leaf-replaced",
            "error",
            f"the result of {op} was wrapped as a new leaf (nn.Parameter), which has no way back to it",
            "use the computed tensor itself; make Parameters once, in __init__",
        )
    if reason == "detach":
        message = "its values were detached and then left torch (.numpy()), or were dropped"
        kind, severity, hint = _CUTS["item"]
        return kind, severity, message, hint
    kind, severity, hint = _CUTS[_reason(op, reason)]
    return kind, severity, _LOST_MESSAGES.get(reason, f"{op} cuts the way ({reason})"), hint


_LOST_MESSAGES = {
    "item": "its values became Python numbers, by .item() or float(), and came back as constants or not at all",
    "no_grad": "what was computed from it under no_grad does not lead to the output",
}


def _reason(op: str, cut: str) -> str:
    if cut in ("integer", "boolean"):
        return "integer" if op == "_to_copy" else "step"
    return cut if cut in _CUTS else "not differentiable"
