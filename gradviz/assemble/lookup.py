"""Answers what the join of a recording and autograd's graph asks: which call made this node, which call made this tensor."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import cached_property
from types import CodeType
from typing import NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.autograd.graph import Node

from gradviz.assemble.writes import Write
from gradviz.errors import TraceError
from gradviz.opcall import op_name, tensors_of
from gradviz.recording.backward import AutogradGraph
from gradviz.recording.bytecode import Frames
from gradviz.recording.classes import once_per_class
from gradviz.recording.functions import Applied
from gradviz.recording.nodes import forward_class, forward_code, node_of, output_metadata, sequence_number
from gradviz.recording.record import Recorder

_COPY_SLICES = "CopySlices"
_AS_STRIDED = "AsStridedBackward"
_OF_CPP = "CppFunction"
"""The class of nodes that C++ code defines and Python knows no name for."""
_DETACH = torch.ops.aten.detach.default


@once_per_class
def _put_by_autograd(kind: type) -> str:
    """Which of the nodes that autograd makes for no call of their own a class of nodes is, or may be; "" for all others."""
    name = kind.__name__
    if name == _OF_CPP:
        return _OF_CPP
    return _COPY_SLICES if name.endswith(_COPY_SLICES) else _AS_STRIDED if _AS_STRIDED in name else ""


def _refuse_scripted(node: Node) -> None:
    if "DifferentiableGraph" in node.name():
        raise TraceError(
            "torch.jit has compiled a part of this code (torch.jit.script, after its first runs), whose ops autograd does "
            "not see one by one: trace the module or function before it is scripted"
        )


class Application(NamedTuple):
    """How a custom Function was applied, None where that was not seen; the first call since; the calls that forward made."""

    applied: Applied | None
    first: int
    calls: tuple[int, ...]


class Lookup:
    """Look-ups in one recording and the autograd graph of its outputs. Rare tables are made when asked for."""

    def __init__(self, graph: AutogradGraph, recorder: Recorder) -> None:
        self.graph = graph
        self.recorder = recorder
        self.calls = recorder.calls
        self._by_sequence = {call.sequence: index for index, call in enumerate(recorder.calls) if call.sequence >= 0}
        self._sequences = sorted(self._by_sequence)
        self._leaf_nodes = {id(variable): node for node, variable in graph.variables.items()}

    def call_of(self, node: Node) -> int | None:
        """The call that autograd made this node for: the one whose result carried it. None where none was recorded."""
        return self.calls_by_node.get(node)

    def _returned_by(self, index: int, node: Node) -> bool:
        return any(tensor is not None and node_of(tensor) is node for tensor in self.calls[index].outputs)

    def applied(self, node: Node) -> Applied | None:
        """How the custom Function of this node was applied; None where that was not seen."""
        found = self.recorder.applied.get(self.first_inside(node))
        return found if found is not None and forward_class(node) in found.functions else None

    def first_inside(self, node: Node) -> int:
        """The first call made since the node of a custom Function was numbered, right before its forward ran; else -1."""
        place = bisect.bisect_left(self._sequences, sequence_number(node))
        index = self._by_sequence[self._sequences[place]] if place < len(self._sequences) else -1
        found = self.recorder.applied.get(index)
        is_own = index >= 0 and self.calls[index].sequence == sequence_number(node)
        return index if is_own or (found is not None and forward_class(node) in found.functions) else -1

    def calls_of_forward(self, node: Node) -> Iterator[int]:
        """The calls that the forward of a custom Function made, with the casts that `custom_fwd` makes before it."""
        first, forward = self.first_inside(node), forward_code(node)
        if first >= 0 and forward is not None:
            yield from self.calls_inside(first, forward, self.applied(node), node)

    def calls_inside(self, first: int, forward: CodeType, applied: Applied | None, node: Node | None) -> Iterator[int]:
        """The same from call `first` on, by the code of the forward; `node` is what its results carry, if that is known."""
        is_inside = False
        for index in range(first, len(self.calls)):
            call = self.calls[index]
            if index > first and (index in self.recorder.applied if applied is not None else call.sequence >= 0):
                return
            if any(code is forward for code, _ in call.frames):
                is_inside = True
            elif is_inside or applied is None or call.frames != self.calls[first].frames:
                yield from self._handed_on(index, node)
                return
            yield index

    def _handed_on(self, index: int, node: Node | None) -> Iterator[int]:
        """The calls from `index` on of a forward that returns arguments: torch makes an alias of each."""
        while node is not None and index < len(self.calls) and self._returned_by(index, node):
            yield index
            index += 1

    def frames_outside(self, node: Node, index: int) -> Frames:
        """The user's frames that called a custom Function, for call `index` of its forward."""
        return self.frames_around(forward_code(node), index)

    def frames_around(self, forward: CodeType | None, index: int) -> Frames:
        """The same by the code of the forward."""
        frames = self.calls[index].frames
        inside = next((place for place, (code, _) in enumerate(frames) if code is forward), -1)
        return frames[inside + 1 :]

    def call_before(self, node: Node) -> int:
        """The call for which autograd made the last node up to `node`; -1 where none was recorded."""
        place = bisect.bisect_right(self._sequences, sequence_number(node))
        return self._by_sequence[self._sequences[place - 1]] if place else -1

    def producer(self, tensor: Tensor, before: int) -> int | None:
        """The last call before call `before` that returned `tensor` or wrote to its storage."""
        returned = self._returned.get(id(tensor), [])
        place = bisect.bisect_left(returned, before)
        written = self.recorder.versions.last_write(tensor, before)
        candidates = returned[place - 1 : place] if place else []
        return max(candidates if written is None else [*candidates, written], default=None)

    def is_one_of_several(self, node: Node, index: int) -> bool:
        """Whether call `index` made only one of the results of a custom Function.

        A module with a full backward hook hands each tensor on.
        """
        return len(self.calls[index].outputs) < len(output_metadata(node))

    def is_handed_out(self, index: int) -> bool:
        """Whether a call is the detach by which torch hands out what a call that reads no tensor made, `torch.rand(3)`."""
        call, made = self.calls[index], self.calls[index - 1] if index else None
        if made is None or op_name(call.overload) != "detach" or call.visit != made.visit:
            return False
        return call.args[0] is made.outputs[0] and not tensors_of(made.overload, made.args, made.kwargs)

    def leaf_node(self, tensor: Tensor) -> Node | None:
        """The AccumulateGrad node of a leaf that the outputs reach."""
        return self._leaf_nodes.get(id(tensor))

    def first_use(self, leaf: Node) -> int:
        """The first call that used a leaf, which may be filled while the recorder listens; 0 where none is known."""
        return self._first_uses.get(leaf, 0)

    def carries(self, tensor: Tensor, node: Node | None, output: int) -> bool:
        """Whether `tensor` now stands for this output of `node`."""
        if node is None:
            return False
        variable = self.graph.variables.get(node)
        if variable is not None:
            return variable is tensor
        return node_of(tensor) is node and tensor.output_nr == output

    def values_before_writes(self, node: Node) -> dict[int, Tensor]:
        """Output number -> what a tensor held that stood for this output of `node` until it was written to."""
        return self._before_writes.get(node, {})

    def live_tensors(self, node: Node) -> dict[int, Tensor]:
        """Output number -> the recorded tensor that stands for this output of `node` now."""
        return self._by_node.get(node, {})

    def write_of(self, node: Node) -> Write | None:
        """The in-place write to a view that made this CopySlices node; None for other nodes, or where none was recorded."""
        if not node.name().endswith(_COPY_SLICES):
            return None
        versions = self.recorder.versions
        found = self._carriers.get(node)
        index = None if found is None else versions.last_write(found[0], found[1])
        if index is None:
            return None
        call = self.calls[index]
        view = next((tensor for _, tensor in tensors_of(call.overload, call.args, {})), None)
        if view is None or view._base is None:
            return None
        before, after = versions.at(view._base, index - 1), versions.at(view._base, index)
        return Write(call_index=index, view=view, base=view._base, before=before, after=after)

    @cached_property
    def calls_by_node(self) -> dict[Node, int]:
        """Node -> the last call that returned a tensor which carried it, now or until it was written to."""
        found: dict[Node, int] = {}
        for index, call in enumerate(self.calls):
            overload = call.overload
            if overload is _DETACH or (not call.grad_enabled and overload._schema.is_mutable):
                continue  # autograd does not see a write under no_grad: the tensor keeps its node
            for tensor in call.outputs:
                node = None if tensor is None else node_of(tensor)
                # The class is asked first, which most nodes are through with: each result of a recording comes by here.
                if node is not None and (not _put_by_autograd(type(node)) or self._may_have_made(overload, node)):
                    found[node] = index
        for carried in self.recorder.versions.carried:
            returned = self._returned.get(id(carried.tensor), [])
            place = bisect.bisect_left(returned, carried.time)
            if place and self._may_have_made(self.calls[returned[place - 1]].overload, carried.node):
                found[carried.node] = returned[place - 1]
        return found

    @staticmethod
    def _may_have_made(overload: OpOverload, node: Node) -> bool:
        """Not where autograd put a node of its own in the place of the call's: a base that was written to through a view
        carries a CopySlices node, and a view of it an AsStrided node. Nor a detach: what tanh keeps of its result so is
        given the node of tanh when a second backward pass reads it."""
        if overload is _DETACH:
            return False
        put = _put_by_autograd(type(node))
        if put == _OF_CPP:
            _refuse_scripted(node)
            return True
        return not put or (put == _AS_STRIDED and op_name(overload).startswith("as_strided"))

    @cached_property
    def _first_uses(self) -> dict[Node, int]:
        found: dict[Node, int] = {}
        for node, slots in self.graph.slots.items():
            index = self.call_of(node) if slots else None
            for tail, _ in slots if index is not None else ():
                if tail in self.graph.variables and index is not None:
                    found[tail] = min(index, found.get(tail, index))
        return found

    @cached_property
    def _carriers(self) -> dict[Node, tuple[Tensor, int]]:
        """Node -> the whole tensor that carries it, and until which call."""
        now = len(self.calls)
        bases = self.recorder.versions.written()
        found = {base.grad_fn: (base, now) for base in bases if base.grad_fn is not None}
        for carried in self.recorder.versions.carried:
            if carried.tensor._base is None:
                found[carried.node] = carried.tensor, carried.time
        return found

    @cached_property
    def _before_writes(self) -> dict[Node, dict[int, Tensor]]:
        versions = self.recorder.versions
        found: dict[Node, dict[int, Tensor]] = {}
        for node, output, tensor, time in versions.carried:
            found.setdefault(node, {})[output] = versions.at(tensor, time - 1)
        return found

    @cached_property
    def _returned(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, call in enumerate(self.calls):
            for output in call.outputs:
                if output is not None:
                    found.setdefault(id(output), []).append(index)
        return found

    @cached_property
    def _by_node(self) -> dict[Node, dict[int, Tensor]]:
        found: dict[Node, dict[int, Tensor]] = {}
        for call in self.calls:
            for tensor in call.outputs:
                if tensor is not None and (node := node_of(tensor)) is not None:
                    found.setdefault(node, {})[tensor.output_nr] = tensor
        return found
