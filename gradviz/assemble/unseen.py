"""What code does where autograd does not look: writes under `no_grad` or through `.data`, Python numbers made of values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.drafted import Draft, Key
from gradviz.opcall import tensors_of
from gradviz.recording.hooks import hooks_of_tensor
from gradviz.recording.nodes import node_of
from gradviz.recording.record import RecordedCall, Recorder
from gradviz.recording.versions import Carried, share_memory
from gradviz.standin import is_kept

_READ = torch.ops.aten._local_scalar_dense.default
_PRODUCTS = ("Addmm", "Mm", "Bmm", "Baddbmm", "Mv", "Addmv", "Dot", "Convolution", "MkldnnRnnLayer", "Embedding")
"""Autograd's words for the calls that bring parameters and data together."""


def unseen_writes(draft: Draft, recorder: Recorder) -> dict[Key, list[int]]:
    """Node -> the calls that wrote to its value in place.

    What reads it later gets the new numbers, while its gradient passes as before.
    A leaf is meant to be written so (an optimizer does), what a custom Function's forward writes, its backward knows, and
    what torch writes inside of one function of its own (the norms of `cosine_similarity`) is part of that function.
    A write through `.data` or `.detach()`, another tensor with the same memory, is unseen with gradients enabled too; what
    is only averaged in place to be logged, after the last use, changes no loss.
    """
    if not recorder.versions.carried:
        return {}
    with_gradient = {call.visit for call in recorder.calls if call.grad_enabled}
    found: dict[Key, list[int]] = {}
    for carried in recorder.versions.carried:
        call, node = recorder.calls[carried.time], draft.nodes.get(carried.node)
        seen = call.visit in with_gradient and not (_is_aside(call) and _is_read_after(carried, recorder))
        seen = seen or carried.time in draft.in_forwards
        if node is not None and node.kind == "op" and not seen and carried.time not in found.get(carried.node, ()):
            found.setdefault(carried.node, []).append(carried.time)
    return found


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


def hooks_on(tensors: Mapping[int, Iterable[Tensor | None]]) -> dict[tuple[int, int], tuple[str, ...]]:
    """(number of a node, output) -> the hooks that `Tensor.register_hook` put on it, as "clip at train.py:12"."""
    return {
        (number, place): hooks_of_tensor(tensor)
        for number, outputs in tensors.items()
        for place, tensor in enumerate(outputs)
        if tensor is not None and tensor._backward_hooks
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
