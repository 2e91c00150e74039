"""What `check` is asked for: each option looked at before anything is computed, and refused with what is accepted."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch._library.custom_ops import CustomOpDef
from torch._ops import OpOverload, OpOverloadPacket

from gradviz.check.hooks import Hooks, Place
from gradviz.errors import CheckError
from gradviz.graph import Edge, GradGraph
from gradviz.opcall import custom_name, op_name

Intended = Collection[str | type[torch.autograd.Function] | OpOverload | OpOverloadPacket[Any, Any] | CustomOpDef]
"""Custom Functions, by class or name, and custom ops of `torch.library`, as objects or by name ("mylib::round"), whose
backward is meant to differ from the derivative of their forward; and names of hooks (on tensors, autograd nodes or modules)
that are meant to change what flows back: "clip", or as the report tells it, "clip at train.py:12"."""
_SEEDS_BELOW = 2**40
_ACCEPTED = "accepted: (tail, head, argument position), three numbers, as `use.edge` of graph.arguments_of(node)"


def require_options(samples: Any, seed: Any, time_limit_s: Any, progress: Any) -> None:
    """Refuses what is not of its kind, or out of range.

    Raises:
        CheckError: says which option, and what is accepted.
    """
    if not _is_whole(samples) or samples < 1:
        raise CheckError(f"samples={samples!r}: how many rows are looked at; accepted: a whole number, at least 1")
    if not _is_whole(seed) or not 0 <= seed < _SEEDS_BELOW:
        raise CheckError(f"seed={seed!r}: accepted: a whole number from 0 up to 2**40")
    is_number = isinstance(time_limit_s, (int, float)) and not isinstance(time_limit_s, bool)
    if time_limit_s is not None and (not is_number or math.isnan(time_limit_s) or time_limit_s < 0):
        raise CheckError(f"time_limit_s={time_limit_s!r}: accepted: a number of seconds, 0 or more, or None")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise CheckError(f"progress={progress!r}: accepted: True, False, None, or a function of three arguments")


def require_wide_numbers(graph: GradGraph) -> None:
    """Refuses what torch itself neither adds nor compares.

    Raises:
        CheckError: says which value, and what is accepted.
    """
    for _, attributes in graph.nodes(data=True):
        dtype: torch.dtype = attributes["dtype"]
        if attributes["requires_grad"] and dtype.is_floating_point and dtype.itemsize == 1:
            name = attributes["name"]
            raise CheckError(
                f"{name} is {dtype}, in which torch neither adds nor compares gradients; accepted: 16 bits or more, as of "
                f"{name}.to(torch.bfloat16) before requires_grad_()"
            )


def wanted_edges(graph: GradGraph, edges: Any) -> frozenset[Edge]:
    """The edges to check.

    Raises:
        CheckError: there is none, or one that is no edge of the graph, or that carries no gradient.
    """
    if isinstance(edges, str) or not isinstance(edges, Iterable):
        raise CheckError(f"edges={edges!r}: accepted: a list of edges, or None for all")
    wanted = set()
    for edge in edges:
        if not isinstance(edge, tuple) or len(edge) != 3 or not all(map(_is_whole, edge)):
            raise CheckError(f"{edge!r} is no edge; {_ACCEPTED}")
        wanted.add(edge)
    if not wanted:
        raise CheckError("edges is empty: there is nothing to check; accepted: a list of edges, or None for all")
    for edge in sorted(wanted):
        if not graph.has_edge(*edge):
            raise CheckError(f"the graph has no edge {edge}; an edge is (tail, head, argument position)")
        if graph.edges[edge]["partial"] is None:
            reason = graph.edges[edge]["cut"] or "not differentiable"
            raise CheckError(f"no gradient flows along edge {edge} ({reason}): there is no partial to check")
    return frozenset(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """Where autograd is meant to differ.

    Attributes:
        functions: nodes of custom Functions: edges into them are not judged.
        hooks: (node, output) whose cotangent hooks may change, all of them named: the sums of contributions into them are
            not wrong.
        changed: nodes whose contributions hooks may change, all of them named: these need not be what the node answers.
    """

    functions: frozenset[int] = frozenset()
    hooks: frozenset[Place] = frozenset()
    changed: frozenset[int] = frozenset()


def where_meant(graph: GradGraph, intended: Intended, hooks: Hooks) -> Meant:
    """The nodes of the Functions, ops and hooks that are named.

    Raises:
        CheckError: one is neither a name nor a class nor an op, or the graph has no such Function, no such op and no such
            hook.
    """
    if isinstance(intended, (str, type)) or not isinstance(intended, Collection):
        accepted = "a list of custom Functions (names, classes), custom ops (names, ops) and names of hooks"
        raise CheckError(f"intended={intended!r}: accepted: {accepted}")
    functions = {node: (found.function, found.name) for node in graph if (found := graph.custom_function(node))}
    calls = {node: call.overload for node, call in graph.nodes(data="call") if call is not None}
    ops = {node: _names_of_op(overload) for node, overload in calls.items() if custom_name(overload)}
    if not intended:
        return Meant()
    places = {place: [_names_of(hook) for hook in told] for place, told in hooks.places()}
    nodes = {node: [_names_of(hook) for hook in told] for node, told in hooks.nodes()}
    all_hooks = [names for several in (*places.values(), *nodes.values()) for names in several]
    wanted: list[Any] = []
    for one in intended:
        aliases = _meant_by(one)
        if not any(name in names for names in (*functions.values(), *ops.values(), *all_hooks) for name in aliases):
            known = f"its custom Functions: {_listed(name for _, name in functions.values())}; "
            known += f"its custom ops: {_listed(custom_name(op) for op, *_ in ops.values())}; "
            known += f"its hooks: {_listed(told for told, _ in all_hooks)}"
            raise CheckError(
                f"intended: the graph has neither a custom Function nor a custom op nor a hook {_named(one)}; {known}"
            )
        wanted += aliases

    def is_named(names: Iterable[Any]) -> bool:
        return any(name in wanted for name in names)

    return Meant(
        functions=frozenset(node for node, names in (*functions.items(), *ops.items()) if is_named(names)),
        hooks=frozenset(place for place, several in places.items() if all(map(is_named, several))),
        changed=frozenset(node for node, several in nodes.items() if all(map(is_named, several))),
    )


def _meant_by(one: Any) -> list[Any]:
    """What is named; of a custom op also the Function that torch makes for it, which a graph shows that saw no calls."""
    op = one._opoverload if isinstance(one, CustomOpDef) else one
    namespace, separator, rest = (op if isinstance(op, str) else _qualified(op)).partition("::")
    function, _, overload = rest.partition(".")
    return [op, f"GeneratedBackwardFor_{namespace}_{function}_{overload or 'default'}"] if separator else [op]


def _names_of_op(overload: OpOverload) -> tuple[Any, ...]:
    """How a custom op may be named: itself, with or without its overload, and in text."""
    packet = overload.overloadpacket
    return overload, packet, _qualified(overload), _qualified(packet), op_name(overload)


def _qualified(op: Any) -> str:
    """An op as "mylib::round", or as "mylib::round.out" if it is not the default overload; "" of anything else."""
    if isinstance(op, OpOverloadPacket):
        return str(op._qualified_op_name)
    return op.name() if isinstance(op, OpOverload) else ""


def _names_of(hook: str) -> tuple[str, str]:
    """How a hook may be named: as the report tells it, and by the name of its function alone."""
    return hook, hook.partition(" at ")[0]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


def _named(one: Any) -> str:
    if isinstance(one, CustomOpDef):
        one = one._opoverload
    return one.__name__ if isinstance(one, type) else _qualified(one) or repr(one)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
