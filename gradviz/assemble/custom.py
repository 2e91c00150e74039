"""What is told of the custom Functions of a draft: class, arguments, and where their forwards made numbers of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.drafted import Draft, DraftNode
from gradviz.opcall import OpCall, is_inexact
from gradviz.recording.backward import Slots
from gradviz.recording.functions import CustomFunction
from gradviz.recording.nodes import forward_class, needed_arguments, saved_tensors
from gradviz.recording.record import Recorder

aten = torch.ops.aten
_CONDITION = {aten.where.self: 0, aten.masked_fill.Scalar: 1, aten.masked_fill.Tensor: 1}
"""Which argument is the condition."""


def custom_functions(
    draft: Draft, recorder: Recorder, slots: Mapping[Node, Slots], source: Callable[[int], str]
) -> dict[Node, CustomFunction]:
    """Node -> its custom Function. `source` gives the line of a recorded call, by index."""
    found = {}
    for node, (applied, first, calls) in draft.applied.items():
        function = forward_class(node)
        if function is None:
            continue
        edges = [slot for slot, (tail, _) in enumerate(slots[node]) if tail is not None]
        found[node] = CustomFunction(
            function=function,
            args=None if applied is None else recorder.versions.held(applied.args, first - 1),
            places=dict(zip(edges, needed_arguments(node), strict=False)),
            read=tuple(dict.fromkeys(source(index) for index in _reads(node, draft.nodes[node], recorder, calls, edges))),
            conditions=tuple(_conditions(recorder, source, calls)),
        )
    return found


def _conditions(
    recorder: Recorder, source: Callable[[int], str], indices: tuple[int, ...]
) -> Iterator[tuple[str, str, Tensor]]:
    for index in indices:
        place = _CONDITION.get(recorder.calls[index].overload)
        if place is not None:
            call = recorder.op_call(index)
            yield call.op, source(index), call.args[place]


def _reads(
    autograd_node: Node, node: DraftNode, recorder: Recorder, indices: tuple[int, ...], edges: list[int]
) -> Iterator[int]:
    """The calls of a forward through which floating-point values of its arguments left torch.

    `.item()` and `float()` are calls of their own; `.numpy()` is a detach whose result no other call reads and nobody saved.
    """
    inside = node.inner_calls
    known = {id(node.inner_inputs[slot]) for slot in edges if slot < len(node.inner_inputs)} - {id(None)}
    used = {id(argument.tensor) for call in inside for argument in call.tensor_arguments()}
    used |= {id(value) for value in node.values}
    for call in inside:
        if any(id(argument.tensor) in known for argument in call.tensor_arguments()):
            known |= {id(output) for output in call.outputs if output is not None}
    saved = {id(tensor) for tensor in saved_tensors(autograd_node)}
    for index in indices:
        call = recorder.op_call(index)
        if saved & {id(output) for output in recorder.calls[index].outputs}:
            continue
        if _leaves_torch(call, used) and any(id(argument.tensor) in known for argument in call.tensor_arguments()):
            yield index


def _leaves_torch(call: OpCall, used: set[int]) -> bool:
    if call.overload is aten._local_scalar_dense.default:
        return is_inexact(next(call.tensor_arguments()).tensor)
    return call.overload is aten.detach.default and not any(id(output) in used for output in call.outputs)
