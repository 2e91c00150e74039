"""The source line of each node of a draft, and of the calls that are told beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from gradviz.assemble.drafted import Draft, DraftNode, Key
from gradviz.recording.naming import Naming
from gradviz.recording.nodes import is_leaf
from gradviz.recording.record import Recorder


class NodeSources:
    """The lines of one trace, "file.py:12"; "" where none is known.

    Args:
        draft: the nodes.
        recorder: the calls.
        naming: what finds the line of a frame.
        wrapped: leaves that no call returned -> the call whose result each was wrapped around.
    """

    def __init__(self, draft: Draft, recorder: Recorder, naming: Naming, wrapped: Mapping[Key, int]) -> None:
        self._draft = draft
        self._recorder = recorder
        self._line = naming.source
        self._wrapped = wrapped

    def of_node(self, key: Key, node: DraftNode) -> str:
        """The line that made a node; of a leaf only where the traced code made it."""
        if node.kind == "leaf":
            made = self._made_leaves.get(id(node.tensors[0]), self._wrapped.get(key))
            if made is not None:
                return self.outside_functions(made)
        return self._of_write_before(key) if node.call_index is None else self._line(node.frames)

    def _of_write_before(self, key: Key) -> str:
        """Of a view that autograd made anew since its base was written to: the line of that write."""
        edges = self._draft.edges_into.get(key, ())
        written = self._draft.nodes[edges[0].tail] if len(edges) == 1 else None
        return self._line(written.frames) if written is not None and written.op == "copy_slices" else ""

    def of_call(self, index: int) -> str:
        return "" if index < 0 else self._line(self._recorder.calls[index].frames)

    def outside_functions(self, index: int) -> str:
        """The line of a call, or, where it lies in the forward of a custom Function, the one that applied it."""
        forward = self._draft.in_forwards.get(index)
        return self.of_call(index) if forward is None else self._line(forward.frames)

    @cached_property
    def _made_leaves(self) -> dict[int, int]:
        """Leaf -> the call that made it, if that was recorded."""
        return {
            id(output): index
            for index, call in enumerate(self._recorder.calls)
            if call.sequence < 0
            for output in call.outputs
            if output is not None and is_leaf(output)
        }
