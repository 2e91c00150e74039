"""Autograd nodes -> the tensors that autograd kept: leaves, saved arguments, saved results, each checked by autograd.

A saved tensor knows the node and the output number that made it, so one `_saved_*` of a consumer names the value of its
producer. autograd compares version counters when a saved tensor is read; what was written to since is refused, and is
reported here as lost with that reason. The counters do not see writes through `.data`; nothing here can.

Saved tensors that were packed by `saved_tensors_hooks` are read only where the way back is known to be exact and free
of side effects (`save_on_cpu`). A non-reentrant checkpoint would run its whole block again for every single value that
is read, with random numbers drawn and buffers updated, and a hook of the user's own may return something else than it
got.

The values are detached but share memory with what autograd keeps: copy what has to outlive a later in-place change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.errors import TraceError

Key: TypeAlias = tuple[Node, int]
"""One value: the node that made it and the number of the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What autograd kept of a forward pass.

    Attributes:
        values: the value of each node output that was found.
        saved: what each node saved of tensors, by the name in the derivative formula (`self`, `mat2`, `result`): a
            detached tensor, a plain number for a Python number that torch had wrapped, None for nothing, or a list.
        lost: why reading saved tensors of a node failed, one sentence part each.
        stale: leaves that were written to in place after an operation had saved them.
        vouched: leaves of which a saved copy could be read: not written to since the operation that saved it.
        repacked: nodes whose saved tensors were moved to another device and back.
        relaid: values that were found in such nodes only: their strides may differ from the original's.
    """

    values: dict[Key, Tensor] = field(default_factory=dict)
    saved: dict[Node, dict[str, Any]] = field(default_factory=dict)
    lost: dict[Node, list[str]] = field(default_factory=dict)
    stale: set[Node] = field(default_factory=set)
    vouched: set[Node] = field(default_factory=set)
    repacked: set[Node] = field(default_factory=set)
    relaid: set[Key] = field(default_factory=set)


def harvest(nodes: Sequence[Node]) -> Kept:
    """Read what autograd kept for `nodes`.

    Raises:
        TraceError: the graph was freed by an earlier backward pass.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = x * 3
    >>> kept = harvest([y.grad_fn.next_functions[0][0], y.grad_fn])
    >>> kept.saved[y.grad_fn]
    {'other': 3, 'self': None}
    """
    reader = _Reader(nodes)
    for node in nodes:
        if is_leaf(node):
            reader.read_leaf(node)
    for node in nodes:
        if not is_leaf(node):
            reader.read_node(node)
    return reader.kept


def is_leaf(node: Node) -> bool:
    """Whether the node stands for a leaf tensor rather than for an operation."""
    return type(node).__name__ == "AccumulateGrad"


def output_count(node: Node) -> int:
    """How many differentiable outputs the node's operation has."""
    return len(node._input_metadata)


def output_shape(node: Node, output: int) -> tuple[int, ...]:
    """The shape that autograd noted for an output of `node`."""
    return tuple(node._input_metadata[output].shape)


def signed(value: Any) -> Any:
    """A saved attribute as the call had it: negative integers come back from autograd as unsigned 64-bit ones.

    >>> signed((18446744073709551615, 2))
    [-1, 2]
    """
    if isinstance(value, (tuple, list)):
        return [signed(item) for item in value]
    if isinstance(value, int) and value >= 2**63:
        return value - 2**64
    return value


def fits(node: Node, output: int, value: Tensor) -> bool:
    """Whether `value` has the shape, the dtype and the device that autograd noted for this output of `node`."""
    metadata = node._input_metadata[output]
    shape = tuple(metadata.shape)
    return shape == tuple(value.shape) and metadata.dtype == value.dtype and metadata.device == value.device


@cache
def saved_names(node_class: type) -> tuple[str, ...]:
    """The names of the tensors that nodes of this class save.

    >>> saved_names(torch._C._functions.PowBackward0)
    ('self',)
    """
    start = "_raw_saved_"
    return tuple(name[len(start) :] for name in dir(node_class) if name.startswith(start))


class _Reader:
    """Reads saved tensors, keeping every wrapper alive so that identity of objects means identity of tensors."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.kept = Kept()
        self._nodes = set(nodes)
        self._leaf_of: dict[int, Node] = {}
        self._snapshots: dict[tuple[int, int], Tensor] = {}
        self._alive: list[object] = []

    def read_leaf(self, node: Node) -> None:
        variable = node.variable  # type: ignore[attr-defined]
        self._alive.append(variable)
        self._leaf_of[id(variable)] = node
        if fits(node, 0, variable):
            self.kept.values[node, 0] = self._snapshot(variable)
        else:
            self.kept.stale.add(node)

    def read_node(self, node: Node) -> None:
        if hasattr(type(node), "saved_tensors"):
            self._read(node, "saved_tensors", "_raw_saved_tensors")
            return
        record = {}
        for name in saved_names(type(node)):
            record[name] = self._read(node, f"_saved_{name}", f"_raw_saved_{name}")
        self.kept.saved[node] = record

    def _read(self, node: Node, attribute: str, raw_attribute: str) -> Any:
        """The detached saved value; None where nothing was saved or where it cannot be had, the reason being noted."""
        raws: tuple[Any, ...] = ()
        try:
            raw = getattr(node, raw_attribute)
            raws = raw if isinstance(raw, tuple) else (raw,)
            trouble = next((text for text in map(_hook_trouble, raws) if text), "")
            value = None if trouble else getattr(node, attribute)
        except RuntimeError as error:
            trouble, value = _trouble(error, node), None
            self._note_stale_leaves(raws)
        if trouble:
            self.kept.lost.setdefault(node, []).append(trouble)
            return None
        hooked = any(_unpack_hook(item) is not None for item in raws)
        if hooked:
            self.kept.repacked.add(node)
        if isinstance(value, (tuple, list)):
            return [self._take(item, hooked) for item in value]
        return self._take(value, hooked)

    def _take(self, tensor: Any, hooked: bool) -> Any:
        if not isinstance(tensor, Tensor):
            return None
        self._alive.append(tensor)
        if tensor.ndim == 0 and tensor.grad_fn is None and _is_wrapped_number(tensor):
            return tensor.item()
        key = self._key_of(tensor)
        if key is None or not fits(*key, tensor):
            return self._snapshot(tensor)
        if is_leaf(key[0]) and not hooked:
            self.kept.vouched.add(key[0])
        if hooked and key not in self.kept.values:
            self.kept.relaid.add(key)
        elif not hooked and key in self.kept.relaid:
            self.kept.relaid.discard(key)
            self.kept.values[key] = self._snapshot(tensor)
        return self.kept.values.setdefault(key, self._snapshot(tensor))

    def _key_of(self, tensor: Tensor) -> Key | None:
        if tensor.grad_fn is not None:
            return (tensor.grad_fn, tensor.output_nr) if tensor.grad_fn in self._nodes else None
        leaf = self._leaf_of.get(id(tensor))
        return None if leaf is None else (leaf, 0)

    def _snapshot(self, tensor: Tensor) -> Tensor:
        """The one detached tensor that stands for this tensor at this version."""
        return self._snapshots.setdefault((id(tensor), tensor._version), tensor.detach())

    def _note_stale_leaves(self, raws: Sequence[Any]) -> None:
        for raw in raws:
            leaf = self._leaf_of.get(id(getattr(raw, "data", None)))
            if leaf is not None and raw.data._version > 0:
                self.kept.stale.add(leaf)


def _unpack_hook(raw: Any) -> Callable[[Any], Tensor] | None:
    return getattr(raw, "unpack_hook", None)


def _hook_trouble(raw: Any) -> str:
    """Why a packed tensor is not read; empty where it can be."""
    hook = _unpack_hook(raw)
    if hook is None:
        return ""
    module, name = getattr(hook, "__module__", ""), getattr(hook, "__qualname__", type(hook).__qualname__)
    if module == "torch.utils.checkpoint":
        return "it ran inside a checkpoint, which keeps no values and computes them again in the backward pass"
    if module == "torch.autograd.graph" and name.startswith("save_on_cpu."):
        device, packed = raw.data
        if device.type != "cpu" or packed._version == 0:
            return ""
    return f"what it used was packed by a saved-tensors hook ({module}.{name}), which need not give back the same value"


def _trouble(error: RuntimeError, node: Node) -> str:
    message = str(error)
    if "already been freed" in message:
        raise TraceError(
            f"the graph was freed by an earlier backward pass: {type(node).__name__} no longer has what it saved; "
            "call gradviz.trace(out) before out.backward(), or call out.backward(retain_graph=True)"
        ) from error
    if "modified by an inplace operation" in message:
        return "a tensor that it had saved was changed in place afterwards"
    return f"reading what it had saved failed ({message.splitlines()[0] if message else type(error).__name__})"


def _is_wrapped_number(tensor: Tensor) -> bool:
    """Whether torch made this 0-dim tensor of a Python number; such a tensor yields to others in type promotion.

    >>> _is_wrapped_number(torch.tensor(2.0, dtype=torch.float64))
    False
    """
    probe = _NARROWER.get(tensor.dtype)
    return probe is not None and torch.result_type(tensor, probe) is probe.dtype


_NARROWER = {
    torch.float64: torch.zeros((), dtype=torch.float32),
    torch.int64: torch.zeros((), dtype=torch.int32),
    torch.complex128: torch.zeros((), dtype=torch.complex64),
}
