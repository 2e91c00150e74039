"""What code does where autograd does not look: writes under `no_grad` or through `.data`, Python numbers made of values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.drafted import Draft, Key, is_autograd_node
from gradviz.attributes import DATA
from gradviz.opcall import op_name, tensors_of
from gradviz.recording.hooks import hooks_of_tensor
from gradviz.recording.nodes import node_of, tensors_saved_by
from gradviz.recording.record import RecordedCall, Recorder
from gradviz.recording.versions import Carried, memory_of, share_memory
from gradviz.standin import is_kept

_RENORM = torch.ops.aten.embedding_renorm_.default
_READ = torch.ops.aten._local_scalar_dense.default
_PRODUCTS = ("Addmm", "Mm", "Bmm", "Baddbmm", "Mv", "Addmv", "Dot", "Convolution", "MkldnnRnnLayer", "Embedding")
"""Autograd's words for the calls that bring parameters and data together."""


def unseen_writes(draft: Draft, recorder: Recorder) -> dict[Key, list[int]]:
    """Node -> the calls that wrote to its value, in place or by an assignment to `.data`, where autograd does not look.

    What reads it later gets the new numbers, while its gradient passes as before.
    What a custom Function's forward writes, its backward knows, and what torch writes inside of one function of its own (the
    norms of `cosine_similarity`) is part of that function. A write through `.data` or `.detach()`, another tensor with the
    same memory, is unseen with gradients enabled too; what is only averaged in place to be logged, after the last use,
    changes no loss. A leaf is meant to be written (an optimizer does), but not between its uses, nor where the backward
    pass is still to read it, as a constant is not to be assigned to.
    """
    if not recorder.versions.any_write:
        return {}
    with_gradient = {call.visit for call in recorder.calls if call.grad_enabled}
    uses = _Uses(draft)
    found: dict[Key, list[int]] = {}
    for carried in recorder.versions.carried:
        call, node, time = recorder.calls[carried.time], draft.nodes.get(carried.node), carried.time
        if node is None or node.kind != "op" or time in draft.in_forwards or time in found.get(carried.node, ()):
            continue
        if time in recorder.replacements or (call.visit in with_gradient and _is_aside(call)):
            unseen = _is_read_after(carried, recorder) or uses.save(carried.tensor, carried.node)
        else:
            unseen = call.visit not in with_gradient
        if unseen:
            found.setdefault(carried.node, []).append(time)
    for key, node in draft.nodes.items():
        if node.kind != "op" and (tensor := node.tensors[0]) is not None:
            times = recorder.versions.changes(tensor)
            if node.kind == "constant":  # a buffer is meant to be written to: batch norms count in theirs, and save it
                times = [time for time in times if time in recorder.replacements]
            if times and (felt := list(_felt(key, node.kind, tensor, times, uses, recorder))):
                found[key] = [time for time in felt if time not in draft.in_forwards]
    return {key: times for key, times in found.items() if times}


def _felt(
    key: Key, kind: str, tensor: Tensor, times: Iterable[int], uses: _Uses, recorder: Recorder
) -> Iterator[int]:
    """Those of the changes of a leaf, or replacements of a constant, that come between its uses, or before the backward pass
    that reads it."""
    calls, is_saved = uses.calls(key), uses.save(tensor, key)
    last = float("inf") if is_saved else max(calls, default=-1)
    for time in times:
        is_told = kind == "leaf" or is_saved
        if is_told and min(calls, default=time) < time < last and _changes(tensor, time, recorder):
            yield time


def moved_by_hand(leaves: Mapping[str, Tensor | None], recorder: Recorder) -> dict[str, int]:
    """Each leaf to which the code itself gives other numbers, as a moving average does -> a call that does.

    It writes to it in place, or makes numbers of what has a gradient that a new leaf is wrapped around, by `nn.Parameter`. A
    clamp, a decay or a new draw brings in no other tensor. One that has a `.grad` an optimizer may have moved.
    """
    still = {name: leaf for name, leaf in leaves.items() if leaf is not None and leaf.grad is None}
    made = _made_with_gradient(recorder) if still else {}
    found: dict[str, int] = {}
    for name, leaf in still.items():
        times = recorder.versions.changes(leaf)
        writes = (time for time in times if time in recorder.replacements or _brings_in(recorder.calls[time]))
        call = next(writes, made.get(memory_of(leaf)))
        found |= {} if call is None else {name: call}
    return found


def _made_with_gradient(recorder: Recorder) -> dict[int, int]:
    """Memory that a call with a gradient filled and did not read -> that call: a new leaf may be wrapped around it."""
    made: dict[int, int] = {}
    for index, call in enumerate(recorder.calls):
        outputs = {memory_of(output) for output in call.outputs if output is not None and output.requires_grad}
        if outputs:
            read = {memory_of(tensor) for _, tensor in tensors_of(call.overload, call.args, call.kwargs)}
            made |= dict.fromkeys(outputs - read, index)
    return made


def _brings_in(call: RecordedCall) -> bool:
    """Whether a call that writes in place reads another tensor than the one that it writes to."""
    read = [tensor for _, tensor in tensors_of(call.overload, call.args, call.kwargs)]
    return any(not share_memory(tensor, output) for tensor in read for output in call.outputs if output is not None)


class _Uses:
    """Who uses a node of a draft on the way to its outputs."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def calls(self, key: Key) -> list[int]:
        """The recorded calls that do."""
        indices = (self._draft.nodes[head].call_index for head in self._heads.get(key, ()))
        return [index for index in indices if index is not None]

    def save(self, tensor: Tensor, key: Key) -> bool:
        """Whether the backward pass reads what `tensor`, the value of `key`, looks at now: a node saved it, not a copy."""
        nodes = filter(is_autograd_node, (key, *self._heads.get(key, ())))
        return any(share_memory(saved, tensor) for node in nodes for saved in tensors_saved_by(node))

    @cached_property
    def _heads(self) -> dict[Key, list[Key]]:
        found: dict[Key, list[Key]] = {}
        for head, edges in self._draft.edges_into.items():
            for edge in edges if is_autograd_node(head) else ():
                found.setdefault(edge.tail, []).append(head)
        return found


def written_by(recorder: Recorder, index: int) -> str:
    """The function that a call writes with, "mul"; ".data" for an assignment."""
    return DATA if index in recorder.replacements else op_name(recorder.calls[index].overload)


def _changes(tensor: Tensor, time: int, recorder: Recorder) -> bool:
    """Whether a tensor holds other numbers after a write to its memory; where they were not kept, it may.

    An embedding with `max_norm` writes to the rows that it is about to read.
    """
    if recorder.calls[time].overload is _RENORM:
        return False
    before, after = recorder.versions.at(tensor, time - 1), recorder.versions.at(tensor, time)
    if before.device.type == "meta" or not (is_kept(before) and is_kept(after)):
        return True
    return before.shape != after.shape or not bool(((before == after) | (before.isnan() & after.isnan())).all())


def _is_aside(call: RecordedCall) -> bool:
    """Whether a write with gradients enabled went to tensors without any: autograd made no node for it."""
    has_gradient = any(output is not None and output.requires_grad for output in call.outputs)
    return call.grad_enabled and call.sequence < 0 and not has_gradient


def _is_read_after(carried: Carried, recorder: Recorder) -> bool:
    """Whether a call after the write reads the value, as a tensor with a gradient."""
    return any(
        tensor.requires_grad and share_memory(tensor, carried.tensor)
        for call in recorder.calls[carried.time + 1 :]
        for _, tensor in tensors_of(call.overload, call.args, call.kwargs)
    )


def numbers_read(draft: Draft, recorder: Recorder) -> dict[float, int]:
    """Each number that `.item()` or `float()` made of a value with a gradient -> the first call that made it.

    What the forward of a custom Function reads is judged with its backward.
    """
    found: dict[float, int] = {}
    for index, call in enumerate(recorder.calls):
        if call.overload is _READ and call.args[0].requires_grad and index not in draft.in_forwards:
            value = recorder.op_call(index).args[0]
            if is_kept(value) and value.is_floating_point() and value.device.type != "meta":
                found.setdefault(value.item(), index)
    return found


def hooks_known(tensors: Iterable[Tensor]) -> dict[int, tuple[str, ...]]:
    """id of each of these tensors with hooks -> the hooks, as "clip at train.py:12"; a hook may remove itself."""
    return {id(tensor): hooks_of_tensor(tensor) for tensor in tensors if tensor._backward_hooks}


def hooks_on(
    tensors: Mapping[int, Iterable[Tensor | None]], known: Mapping[int, tuple[str, ...]]
) -> dict[tuple[int, int], tuple[str, ...]]:
    """(number of a node, output) -> the hooks on it, of all that are known by tensors."""
    if not known:
        return {}
    return {
        (number, place): known[id(tensor)]
        for number, outputs in tensors.items()
        for place, tensor in enumerate(outputs)
        if id(tensor) in known
    }


def leaves_of_products_behind(value: Tensor) -> list[Tensor]:
    """The leaves whose products with data a value was computed from, in the order in which autograd's graph leads to them.

    >>> w, x = torch.ones(1, 2, requires_grad=True), torch.ones(2, 1)
    >>> [leaf is w for leaf in leaves_of_products_behind((w @ x).sum())], leaves_of_products_behind((w * w).sum())
    ([True], [])
    """
    products = [node for node in _nodes_behind([node_of(value)]) if node.name().startswith(_PRODUCTS)]
    return [variable for node in _nodes_behind(products) if isinstance(variable := getattr(node, "variable", None), Tensor)]


def _nodes_behind(starts: Iterable[Node | None]) -> list[Node]:
    """Autograd's nodes from some on, these with them."""
    seen: dict[Node, None] = {}
    pending = [node for node in starts if node is not None]
    while pending:
        node = pending.pop()
        if node not in seen:
            seen[node] = None
            pending += [following for following, _ in node.next_functions if following is not None]
    return list(seen)
