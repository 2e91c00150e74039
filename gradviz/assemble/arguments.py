"""Aligns an autograd node's slots with the tensor arguments of the call that it was made for.

Slots follow the order of the schema and leave out arguments that are not differentiable (indices, targets); the edge key is
the position among all tensor arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.cuts import can_carry_gradient
from gradviz.assemble.lookup import Lookup
from gradviz.errors import TraceError
from gradviz.opcall import OpCall, tensors_of
from gradviz.recording.backward import Slots
from gradviz.recording.functions import has_own_setup
from gradviz.recording.nodes import forward_class, needed_arguments, node_of, op_of_node, output_metadata

Named = tuple[str, Tensor | None]


class Arguments(NamedTuple):
    """The tensor arguments of a node.

    Attributes:
        named: (schema name, tensor) by position; the tensor is None where it is not needed because a slot says who made it.
        positions: slot -> position, for the slots that have an edge.
        snapshots: what each argument of a custom Function held, by position; () for other nodes.
    """

    named: Sequence[Named]
    positions: Mapping[int, int]
    snapshots: tuple[Tensor | None, ...] = ()


def arguments_of_call(lookup: Lookup, slots: Slots, index: int) -> Arguments:
    """The arguments of a node that was made for call `index`."""
    call = lookup.calls[index]
    named = tensors_of(call.overload, call.args, call.kwargs)
    return Arguments(named=named, positions=_aligned(lookup, slots, named))


def arguments_of_recovered(slots: Slots, call: OpCall | None, recovered: Sequence[int | None] | None) -> Arguments:
    """The arguments of a node whose call was recovered; a node without a call has its slots as positions."""
    edges = [slot for slot, (tail, _) in enumerate(slots) if tail is not None]
    if call is None or recovered is None:
        return Arguments(named=[("", None)] * len(slots), positions={slot: slot for slot in edges})
    known = dict(enumerate(recovered))
    positions = {slot: slot if (position := known.get(slot)) is None else position for slot in edges}
    return Arguments(named=[(argument.name, argument.tensor) for argument in call.tensor_arguments()], positions=positions)


def arguments_of_custom(
    lookup: Lookup, node: Node, slots: Slots, inner: Mapping[int, OpCall], made: Iterable[OpCall]
) -> Arguments:
    """The tensor arguments of a custom Function: its slots, then what else its forward (`inner` calls) read.

    `made` are the calls that made all else: those of `inner`, and what these wrote through views.
    """
    edges = {slot: (tail, output) for slot, (tail, output) in enumerate(slots) if tail is not None}
    parameters = forward_parameters(forward_class(node))
    named: list[Named] = [("", None)] * len(slots)
    for slot, place in zip(edges, needed_arguments(node), strict=False):
        named[slot] = (parameters[place] if place < len(parameters) else "", None)
    snapshots: list[Tensor | None] = [None] * len(slots)
    empty = [slot for slot in range(len(slots)) if slot not in edges]
    for tensor, snapshot in read_from_outside(lookup, inner, made):
        own = next((slot for slot, (tail, output) in edges.items() if lookup.carries(tensor, tail, output)), None)
        if own is None and node_of(tensor) is node:  # written to by the forward, it stands for the result now
            own = next((slot for slot in edges if snapshots[slot] is None), None)
        if own is not None:
            snapshots[own] = snapshot
        elif empty:
            named[empty[0]], snapshots[empty.pop(0)] = ("", tensor), snapshot
        else:
            named.append(("", tensor))
            snapshots.append(snapshot)
    return Arguments(named=named, positions={slot: slot for slot in edges}, snapshots=tuple(snapshots))


def arguments_of_write(lookup: Lookup, slots: Slots, base: Tensor, index: int, call: OpCall) -> Arguments:
    """The arguments of call `index`, a write to a view in place: the base as it was, then what it reads besides the view."""
    live = lookup.calls[index]
    others = tensors_of(live.overload, live.args, live.kwargs)[1:]
    named: list[Named] = [("self", None), *((name, None) for name, _ in others)]
    positions = {slot + 1: place + 1 for slot, place in _aligned(lookup, slots[1:], others).items()}
    positions |= {0: 0} if slots[0][0] is not None else {}
    snapshots = [argument.tensor for argument in list(call.tensor_arguments())[1:]]
    return Arguments(named=named, positions=positions, snapshots=(base, *snapshots))


def differentiable_places(node: Node, tensors: Sequence[Tensor | None]) -> tuple[int, ...]:
    """Which outputs of a call autograd counts as its node's outputs, in the node's own order."""
    if len(tensors) == 1 and tensors[0] is not None and tensors[0].dtype.is_floating_point:
        return (0,)
    candidates = tuple([place for place, tensor in enumerate(tensors) if can_carry_gradient(tensor)])
    if len(candidates) == 1:
        return candidates
    carrying = {
        tensor.output_nr: place for place, tensor in enumerate(tensors) if tensor is not None and node_of(tensor) is node
    }
    if not candidates:
        raise TraceError(f"what {op_of_node(node)} returned is no plain tensor (nested, masked, ...): it cannot be traced")
    count = len(output_metadata(node))
    left = iter(place for place in candidates if place not in carrying.values() and _may_carry(tensors[place]))
    return tuple(carrying[output] if output in carrying else next(left, candidates[0]) for output in range(count))


def _aligned(lookup: Lookup, slots: Slots, named: Sequence[tuple[str, Tensor]]) -> dict[int, int]:
    """Slot -> the place of its argument among those of its call, for the slots that have an edge."""
    if len(named) == len(slots) == 1:
        return {0: 0}
    if len(named) == len(slots):  # as a rule each argument has its slot
        for (tail, output), (_, tensor) in zip(slots, named, strict=True):
            if tail is not None and not lookup.carries(tensor, tail, output):
                break
        else:
            return {place: place for place, (tail, _) in enumerate(slots) if tail is not None}
    positions: dict[int, int] = {}
    free = dict(enumerate(named))
    left: list[int] = []
    for slot, (tail, output) in enumerate(slots):
        if tail is None:
            continue
        for place, (_, tensor) in free.items():
            if lookup.carries(tensor, tail, output):
                positions[slot] = place
                del free[place]
                break
        else:
            left.append(slot)
    for slot in left:
        # Written to since, an argument no longer stands for its old edge: in order, among those that can carry a gradient,
        # and first among those that do.
        able = [place for place, (_, tensor) in free.items() if can_carry_gradient(tensor)]
        doing = [place for place in able if free[place][1].requires_grad]
        position = next(iter(doing or able), max(free, default=slot))
        positions[slot] = position
        free.pop(position, None)
    return positions


def _may_carry(tensor: Tensor | None) -> bool:
    return tensor is not None and tensor.requires_grad


def read_from_outside(
    lookup: Lookup, inner: Mapping[int, OpCall], made: Iterable[OpCall]
) -> Iterator[tuple[Tensor, Tensor]]:
    """(live, snapshot) of the tensors that calls read but did not make, each once. A literal is made by `lift_fresh`."""
    known = {id(output) for call in made for output in call.outputs}
    for index, call in inner.items():
        live = lookup.calls[index]
        pairs = zip(tensors_of(live.overload, live.args, live.kwargs), call.tensor_arguments(), strict=True)
        for (_, tensor), argument in pairs:
            if id(argument.tensor) not in known:
                known.add(id(argument.tensor))
                yield tensor, argument.tensor


def forward_parameters(function: Any) -> list[str]:
    """Names of the arguments of a custom Function's forward, without `ctx`; none where torch does not tell the class."""
    if function is None:
        return []
    names = list(inspect.signature(function.forward).parameters)
    return names if has_own_setup(function) else names[1:]
