"""A leaf whose gradient is zero everywhere, and the edges that pass on nothing but zeros."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gradviz.check.hooks import Hooks
from gradviz.diagnose.batch_as_sequence import ATTENTIONS
from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.likelihood import NLL
from gradviz.diagnose.modes import BATCH_NORMS
from gradviz.diagnose.not_finite_causes import ignored_targets
from gradviz.diagnose.nothing_learned import CHOICES, LIMITS, TOLD_ELSEWHERE, cancelled, flat_throughout, is_kept_margin
from gradviz.diagnose.readings import STEPS, VIEWS, Readings, called
from gradviz.diagnose.too_small import TooSmall, is_added, shrunk, too_small
from gradviz.diagnose.ways import is_zero, turned_zero
from gradviz.errors import PartialError
from gradviz.graph import Use
from gradviz.opcall import SHAPE_READING
from gradviz.signs import derivative_sign
from gradviz.standin import is_kept

PIECEWISE_LINEAR = frozenset(
    {
        *("threshold_backward", "leaky_relu_backward", "hardtanh_backward", "_prelu_kernel_backward"),
        "max_pool2d_with_indices_backward",
    }
)
"""The slopes of functions that are straight piece by piece: how they change with the input, a gradient penalty asks."""
DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
PRODUCTS = frozenset({"mul", "mm", "addmm", "bmm", "baddbmm", "convolution", "mv", "addmv", "dot", "div"})
FACTORED = frozenset({"native_layer_norm", "native_group_norm", *BATCH_NORMS, *ATTENTIONS})
"""Functions that multiply one argument by what they make of another."""


def zero_gradient(readings: Readings) -> Iterator[Finding]:
    """Told once per edge that makes zeros, with the leaves behind it whose gradient is zero."""
    graph = readings.graph
    zeros = {
        name: node
        for name, node in graph.leaves.items()
        if (gradient := graph.cotangent(node)) is not None and gradient.numel() and not readings.norm(gradient)
    }
    if not zeros or not all(readings.is_finite(value) for output in graph.outputs for value in readings.values(output)):
        return  # what follows from NaN is told with the NaN
    hooks = Hooks(graph)
    heads = [node for node in reversed(readings.ops) if graph.cotangent(node) is not None]
    edges = list(turned_zero(graph, heads, set(graph)))
    ways = {name: _zeros_ahead(readings, node) for name, node in zeros.items()}
    told: set[str] = set()
    is_told = False
    small: list[TooSmall] = []
    of_small: list[str] = []
    for use in edges:
        names = [name for name in zeros if name not in told and use.edge[0] in ways[name]]
        told |= set(names)
        by = _hook_on(readings, use, hooks) if names else ""
        if names and not by and (place := _too_small(readings, use)):
            small.append(place)
            of_small += names
            continue
        finding = (_hooked(readings, use, names, by) if by else _finding(readings, use, names)) if names else None
        if finding is not None:
            is_told = True
            yield finding
    if small:
        yield shrunk(readings, small, of_small)
        return
    reached = [node for node in graph.leaves.values() if graph.cotangent(node) is not None]
    if is_told or len(zeros) < len(reached):
        return
    by_hooks = list(_zeroed_by_hooks(readings, hooks, list(zeros)))
    if by_hooks:
        yield from by_hooks
    elif edges:
        yield from flat_throughout(readings, edges[0], list(zeros))
    else:
        yield from cancelled(readings, heads, list(zeros))


def _hook_on(readings: Readings, use: Use, hooks: Hooks) -> str:
    """The hooks on a node that passes on zeros along an edge whose own partial makes none; "" where it does, or none are."""
    cotangent = readings.graph.cotangent(use.edge[1])
    names = hooks.on_contributions(use.edge[1])
    if not names or use.partial is None or not isinstance(cotangent, Tensor) or not is_kept(cotangent):
        return ""
    try:
        passed = use.partial.vjp(cotangent)
    except PartialError:  # what it needs was freed, or is in no file, and nobody can tell the hook's zeros from its own
        readings.leave_hooks_unanswered(use.edge[1])
        return ""
    return " or ".join(names) if readings.norm(passed) else ""


def _hooked(readings: Readings, use: Use, names: list[str], hook: str) -> Finding:
    return found(
        readings.graph,
        "zero-gradient",
        "warning",
        f"the gradient of {listed(names)} is zero everywhere: the hook {hook} makes zeros of what "
        f"{readings.name(use.edge[1])} passes on",
        "take the hook away, or freeze what shall not learn by requires_grad_(False)",
        edge=use.edge,
        numbers={"leaves with a zero gradient": len(names)},
    )


def _zeroed_by_hooks(readings: Readings, hooks: Hooks, names: list[str]) -> Iterator[Finding]:
    """No leaf gets any gradient, and hooks made zeros of cotangents to which contributions came: one finding for all."""
    graph = readings.graph
    places = []
    for (node, output), told in hooks.places():
        into = [use.contribution for use in graph.uses_of(node) if use.output == output and use.contribution is not None]
        sizes = [readings.norm(one) for one in into]
        if is_zero(graph.cotangent(node, output)) and any(sizes):
            places.append((node, told, max(sizes)))
    if places:
        zeroed = listed([readings.name(node) for node, _, _ in places])
        said = listed(list(dict.fromkeys(hook for _, told, _ in places for hook in told)))
        yield found(
            graph,
            "zero-gradient",
            "warning",
            f"no leaf gets any gradient: the cotangents of {zeroed} are made zero by hooks: {said}",
            "take the hooks away, or freeze what shall not learn by requires_grad_(False)",
            node=places[0][0],
            numbers={"largest contribution": max(size for *_, size in places), "leaves with a zero gradient": len(names)},
        )


def _zeros_ahead(readings: Readings, leaf: int) -> set[int]:
    """The leaf and all before the output that its zeros come back through: what lies ahead of them passes on zeros only."""
    seen, pending = {leaf}, [leaf]
    while pending:
        for use in readings.graph.uses_of(pending.pop()):
            head = use.edge[1]
            if head not in seen and use.contribution is not None and not readings.arriving(head):
                seen.add(head)
                pending.append(head)
    return seen


def _finding(readings: Readings, use: Use, names: list[str]) -> Finding | None:
    graph = readings.graph
    tail, head, _ = use.edge
    cause = _cause(readings, use)
    if cause is None:
        return None
    kind, hint = cause
    partial = derivative_sign(readings.name(head), graph.output_name(tail, use.output))
    return found(
        graph,
        kind,
        "error" if kind == "step-function" else "warning",
        f"the gradient of {listed(names)} is zero everywhere: {partial} "
        f"({called(readings.op_written(head))}) passes on nothing but zeros",
        hint,
        edge=use.edge,
        numbers={
            "cotangent norm before": max(map(readings.norm, readings.cotangents(head)), default=0.0),
            "contribution norm": readings.norm(use.contribution),
            "leaves with a zero gradient": len(names),
        },
    )


def _cause(readings: Readings, use: Use) -> tuple[str, str] | None:
    """Kind and hint of an edge that passes on zeros; None where that is meant, or told elsewhere."""
    tail, head, _ = use.edge
    op, name = readings.op_written(head), readings.graph.output_name(tail, use.output)
    kind, hint = "zero-gradient", "see why this local partial is zero"
    if op in STEPS:
        kind, hint = "step-function", f"{op} is flat: use a smooth stand-in, or a straight-through estimator"
    elif op in ("add", "sub") or is_added(readings, use):
        return None  # a sum of what is not zero came to nothing, as before a normalization, which takes any shift away
    elif op in CHOICES or (op in LIMITS and readings.is_a_term_of_the_loss(head)) or is_kept_margin(readings, use):
        return None
    elif op in LIMITS:
        kind, hint = "clamped", f"all of {name} lies outside of the limits, where {op} is flat: widen them, or scale {name}"
    elif op in ("_softmax", "_log_softmax") and _is_over_one(readings, head):
        hint = "softmax over a dimension of one element is always 1: use sigmoid, or another dim"
    elif op == "_log_softmax":
        hint = (
            "every row is exactly one-hot and right, so the loss is 0 and nothing is left to learn: see whether the logits "
            "are too large (divide them by a temperature), or the labels are among the inputs"
        )
    elif op in NLL and ignored_targets(readings, head):
        hint = "all targets are ignore_index: skip such a batch, and look at the labels"
    elif op in DISTANCES and not any(readings.norm(value) for value in readings.values(head)):
        hint = "both arguments are equal: see whether they were computed from the same input by the same weights"
    elif _is_over_one_position(readings, use):
        hint = f"attention to a single position gives it weight 1, whatever {name} is: see whether the input is that short"
    elif op == "embedding" and _is_all_padding(readings, head):
        hint = "every index that is looked up is padding_idx, whose row gets no gradient: see whether the rows begin there"
    elif op in ("cat", "stack"):
        hint = f"of {readings.name(head)} the other parts are used, this one is not: use it too, or do not compute it"
    elif op in TOLD_ELSEWHERE | PIECEWISE_LINEAR or _is_times_a_meant_zero(readings, use) or _asked_by_zeros(readings, use):
        return None
    elif zeros := _zero_factors(readings, use, PRODUCTS):
        named = [readings.graph.output_name(zero.edge[0], zero.output) for zero in zeros]
        hint = f"it is multiplied by {listed(named)}, zero everywhere: see what made that zero"
    return kind, hint


def _too_small(readings: Readings, use: Use) -> TooSmall | None:
    """Where the zeros that an edge passes on come of numbers that are too small; None where they have another reason."""
    kind, _ = _cause(readings, use) or ("zero-gradient", "")
    return too_small(readings, use, _zero_factors(readings, use, PRODUCTS | FACTORED)) if kind == "zero-gradient" else None


def _zero_factors(readings: Readings, use: Use, products: frozenset[str]) -> list[Use]:
    """The other factors of a product that are zero everywhere."""
    head = use.edge[1]
    others = [other for other in readings.arguments[head] if other.edge != use.edge]
    is_product = readings.op_written(head) in products
    return [other for other in others if is_product and not is_added(readings, other) and _is_zero(readings, other)]


def _is_times_a_meant_zero(readings: Readings, use: Use) -> bool:
    """A factor that is zero from the start is meant: an adapter that begins at zero, the first state of an RNN, queries."""
    head = use.edge[1]
    op = readings.op_written(head)
    if op not in PRODUCTS | FACTORED:
        return False
    others = [other for other in readings.arguments[head] if other.edge != use.edge and not is_added(readings, other)]
    zeros = [other for other in others if _is_zero(readings, other)]
    makers = {maker for zero in zeros for maker in _makers_of_zero(readings, zero)}
    return bool(zeros or op in PRODUCTS) and makers <= TOLD_ELSEWHERE | SHAPE_READING | {"", "embedding", "zeros"}


def _makers_of_zero(readings: Readings, use: Use) -> set[str]:
    """The functions that made a zero of what is none, "" where a leaf or a constant is zero: 0 W + 0 has these alone."""
    seen, pending, makers = {use.edge[0]}, [use], set()
    while pending:
        use = pending.pop()
        node = use.edge[0]
        behind = readings.arguments[node]
        moved = behind[:1] if readings.op(node) in VIEWS else []
        zeros = [other for other in behind if _is_zero(readings, other)] if _is_zero(readings, use) else []
        if not moved and not zeros:
            makers.add(readings.op(node))
        for other in moved or zeros:
            if other.edge[0] not in seen:
                seen.add(other.edge[0])
                pending.append(other)
    return makers


def _is_zero(readings: Readings, use: Use) -> bool:
    value = readings.value_of(use)
    return value is not None and value.is_floating_point() and value.numel() > 0 and not readings.norm(value)


def _asked_by_zeros(readings: Readings, use: Use) -> bool:
    """Whether the queries of all answers that get a cotangent are zero, as those of mask tokens are at the start.

    Keys are multiplied by queries on the way back, row by row: the other rows get no cotangent.
    """
    head = use.edge[1]
    query = readings.argument(head, "query") if readings.op(head) in ATTENTIONS and use.argument == "key" else None
    value = None if query is None else readings.value_of(query)
    cotangent = next(readings.cotangents(head), None)
    if value is None or cotangent is None or not readings.has_elements(value) or not readings.has_elements(cotangent):
        return False
    return not value[(cotangent != 0).any(-1)].any()


def _is_all_padding(readings: Readings, head: int) -> bool:
    call, indices = readings.graph.nodes[head]["call"], readings.argument(head, "indices")
    places = None if indices is None else readings.value_of(indices)
    return call is not None and len(call.args) > 2 and places is not None and bool((places == call.args[2]).all())


def _is_over_one_position(readings: Readings, use: Use) -> bool:
    key = readings.argument(use.edge[1], "key") if readings.op(use.edge[1]) in ATTENTIONS else None
    value = None if key is None or use.argument not in ("query", "key") else readings.value_of(key)
    return value is not None and value.shape[-2] == 1


def _is_over_one(readings: Readings, head: int) -> bool:
    call = readings.graph.nodes[head]["call"]
    value = next(readings.values(head), None)
    return call is not None and value is not None and value.ndim > 0 and value.shape[call.args[1]] == 1
