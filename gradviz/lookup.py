"""Answers what the join of a recording and autograd's graph asks: which call made this node, which call made this tensor."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from functools import cached_property

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.backward import AutogradGraph
from gradviz.names import Frames
from gradviz.nodes import forward_code, sequence_number
from gradviz.opcall import tensors_of
from gradviz.record import Recorder, outputs_of


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
        """The call that autograd made this builtin node for; None where none was recorded."""
        return self._by_sequence.get(sequence_number(node))

    def calls_of_forward(self, node: Node) -> Iterator[int]:
        """The calls that the forward of a custom Function made: its node is numbered right before the first of them."""
        first = self.call_of(node)
        forward = forward_code(node)
        if first is None or forward is None:
            return
        for index in range(first, len(self.calls)):
            call = self.calls[index]
            if (index > first and call.sequence >= 0) or not any(code is forward for code, _ in call.frames):
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

    def written_base(self, node: Node) -> Tensor | None:
        """What a view's base held right after the in-place write that made this CopySlices node."""
        place = self.call_before(node)
        if place < 0 or not node.name().endswith("CopySlices"):
            return None
        call = self.calls[place]
        written = next((tensor for _, tensor in tensors_of(call.overload, call.args, {})), None)
        base = None if written is None else written._base
        return None if base is None else self.recorder.versions.at(base, place)

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
