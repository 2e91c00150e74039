"""Answers what the join of a recording and autograd's graph asks: which call made this node, which call made this tensor."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.backward import AutogradGraph
from gradviz.names import Frames
from gradviz.nodes import forward_code, is_custom, op_of_node, sequence_number
from gradviz.opcall import op_name, tensors_of
from gradviz.record import Recorder, outputs_of


class Write(NamedTuple):
    """An in-place write to a view: the call, the view and its base, and what the base held before and after."""

    call_index: int
    view: Tensor
    base: Tensor
    before: Tensor
    after: Tensor


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
        """The call that autograd made this node for; None where none was recorded.

        A kernel may dispatch calls of its own before the call that makes the result (a conjugate is resolved by a clone): of
        the calls made since the node was numbered, the one whose result stands for the node is meant.
        """
        first = self._by_sequence.get(sequence_number(node))
        if first is not None and self._returned_by(first, node):
            return first
        # What an in-place call saves is cloned first and numbered after the call's own node.
        start = self._call_after(node) if first is None else first
        same = [] if start is None else self._calls_of_one_kernel(start)
        found = next((index for index in same if self._returned_by(index, node)), None)
        if found is None and not is_custom(node):  # what the call returned was written to since
            named = (index for index in same if op_name(self.calls[index].overload) == op_of_node(node))
            found = next(named, first)
        return found

    def _call_after(self, node: Node) -> int | None:
        place = bisect.bisect_right(self._sequences, sequence_number(node))
        return self._by_sequence[self._sequences[place]] if place < len(self._sequences) else None

    def _calls_of_one_kernel(self, first: int) -> list[int]:
        """Call `first` and those that followed it, from the same place in the code, without a node of their own."""
        visit = self.calls[first].visit
        following = range(first + 1, len(self.calls))
        without_node = itertools.takewhile(
            lambda index: self.calls[index].visit == visit and self.calls[index].sequence < 0, following
        )
        return [first, *without_node]

    def _returned_by(self, index: int, node: Node) -> bool:
        return any(tensor is not None and tensor.grad_fn is node for tensor in outputs_of(self.calls[index].result))

    def calls_of_forward(self, node: Node) -> Iterator[int]:
        """The calls that the forward of a custom Function made: its node is numbered right before the first of them."""
        first = self._by_sequence.get(sequence_number(node))
        forward = forward_code(node)
        if first is None or forward is None:
            return
        for index in range(first, len(self.calls)):
            call = self.calls[index]
            if index > first and call.sequence >= 0:
                return
            if not any(code is forward for code, _ in call.frames):
                if self._returned_by(index, node):  # a forward that returns its argument: torch makes an alias of it
                    yield index
                return
            yield index

    def frames_outside(self, node: Node, index: int) -> Frames:
        """The user's frames that called a custom Function, for call `index` of its forward."""
        frames = self.calls[index].frames
        inside = next((place for place, (code, _) in enumerate(frames) if code is forward_code(node)), -1)
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

    def leaf_node(self, tensor: Tensor) -> Node | None:
        """The AccumulateGrad node of a leaf that the outputs reach."""
        return self._leaf_nodes.get(id(tensor))

    def carries(self, tensor: Tensor, node: Node, output: int) -> bool:
        """Whether `tensor` now stands for this output of `node`."""
        if node in self.graph.variables:
            return self.graph.variables[node] is tensor
        return tensor.grad_fn is node and tensor.output_nr == output

    def live_tensors(self, node: Node) -> dict[int, Tensor]:
        """Output number -> the recorded tensor that stands for this output of `node` now."""
        return self._by_node.get(node, {})

    def write_of(self, node: Node) -> Write | None:
        """The in-place write to a view that made this CopySlices node; None for other nodes, or where none was recorded."""
        first = self.call_before(node)
        if first < 0 or not node.name().endswith("CopySlices"):
            return None
        # What autograd saves for the write is cloned first, under the same number.
        index = next(
            (index for index in self._calls_of_one_kernel(first) if self.calls[index].overload._schema.is_mutable), first
        )
        call = self.calls[index]
        view = next((tensor for _, tensor in tensors_of(call.overload, call.args, {})), None)
        if view is None or view._base is None:
            return None
        versions = self.recorder.versions
        before, after = versions.at(view._base, index - 1), versions.at(view._base, index)
        return Write(call_index=index, view=view, base=view._base, before=before, after=after)

    @cached_property
    def _returned(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, call in enumerate(self.calls):
            for output in outputs_of(call.result):
                if output is not None:
                    found.setdefault(id(output), []).append(index)
        return found

    @cached_property
    def _by_node(self) -> dict[Node, dict[int, Tensor]]:
        found: dict[Node, dict[int, Tensor]] = {}
        for call in self.calls:
            for tensor in outputs_of(call.result):
                if tensor is not None and tensor.grad_fn is not None:
                    found.setdefault(tensor.grad_fn, {})[tensor.output_nr] = tensor
        return found
