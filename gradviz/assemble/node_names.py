"""Names the nodes of a draft: what the code calls them, each name once, or a letter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from gradviz.assemble.drafted import Draft, DraftNode, Key, is_autograd_node
from gradviz.recording.bytecode import names_around, result_names
from gradviz.recording.naming import (
    TensorNames,
    UniqueNames,
    assigned_in_code,
    calls_behind,
    hooked_inputs,
    last_parts,
    memory_of,
)
from gradviz.recording.record import Recorder

Used = Mapping[Key, tuple[int, ...]]
"""Node -> its outputs that something reads, in order. A node of which nothing is read has no entry."""


class NodeNames:
    """The names of the nodes of one draft.

    Attributes:
        of_node: node -> its name.
        lettered: the nodes that the code gives no name.
        wrapped: leaves that no call returned -> the call whose result each was wrapped around, as by `nn.Parameter(...)`.
        several: the nodes of which several outputs are used, each with a name of its own.
    """

    def __init__(
        self,
        draft: Draft,
        order: Sequence[Key],
        used: Used,
        names: TensorNames,
        recorder: Recorder,
        calls: Collection[str],
    ) -> None:
        self._draft = draft
        self._calls = calls
        self._used = used
        self.several = {key for key, outputs in used.items() if len(outputs) > 1}
        self._names = names
        self._knows_edges = names.knows_edges
        self._handed_in = hooked_inputs(recorder)
        self._assigned = assigned_in_code(recorder, self._handed_in)
        self._object_names = {
            id(output): name
            for index, assigned in self._assigned.items()
            for name, output in zip(assigned, recorder.calls[index].outputs, strict=False)
        }
        self._recorder = recorder
        self.wrapped: dict[Key, int] = {}
        self.lettered: set[Key] = set()
        self.of_node = self._all(order)

    def of_output(self, key: Key, output: int) -> str:
        """The name of one output: the node's own where only one is used."""
        return self.of_outputs(key)[output] if key in self.several else self.of_node[key]

    def of_outputs(self, key: Key) -> tuple[str, ...]:
        """The names of all outputs: those that they are assigned to, or the node's with a number."""
        node = self._draft.nodes[key]
        assigned = self._assigned_to(node)
        if len(assigned) == len(node.values):
            return assigned
        return tuple(f"{self.of_node[key]}[{place}]" for place in range(len(node.values)))

    def _all(self, order: Sequence[Key]) -> dict[Key, str]:
        unique = UniqueNames(last_parts(self._calls))
        found: dict[Key, str] = {}
        for key in order:
            name = self._own(key, self._draft.nodes[key])
            if name:
                found[key] = unique.named(name)
                for part in name.split(", ") if ", " in name else ():
                    unique.named(part)
        for key in order:
            if key not in found:
                found[key] = unique.letter()
                self.lettered.add(key)
        return found

    def _own(self, key: Key, node: DraftNode) -> str:
        """What the code calls a node; "" where it gives it no name."""
        used = self._used.get(key, (0,))
        if len(used) == 1 and (tensor := node.tensors[used[0]]) is not None:
            name = self._names.of_tensor(tensor) or (self._names.of_memory(tensor) if node.kind == "constant" else "")
            if name:
                return name
        if assigned := self._assigned_to(node):
            if len(assigned) == 1:
                return assigned[0]
            return assigned[used[0]] if len(used) == 1 else ", ".join(assigned)
        for tensor in node.tensors if node.in_order else ():
            if name := self._object_names.get(id(tensor), ""):
                return name
        if self._knows_edges and node.kind == "op" and is_autograd_node(key):
            for output in range(len(node.differentiable)):
                if name := self._names.of_edge(key, output):
                    return name
        return self._wrapped_name(key, node) if node.kind == "leaf" else ""

    def _wrapped_name(self, key: Key, node: DraftNode) -> str:
        """What a leaf is called that was wrapped around the result of a recorded call: `w = nn.Parameter(torch.ones(3))`."""
        leaf = node.tensors[0]
        made = None if leaf is None else self._made.get(memory_of(leaf))
        if made is None:
            return ""
        self.wrapped[key] = made
        around = (names_around(*frame) for frame in self._recorder.calls[made].frames[:1])
        return next((names[0] for names in around if names), "")

    @cached_property
    def _made(self) -> dict[Any, int]:
        return calls_behind(self._recorder)

    def _assigned_to(self, node: DraftNode) -> tuple[str, ...]:
        """What the user's code assigns the result to: one name, or one for each output."""
        if node.call_index is None:
            return ()
        if node.inner_calls and (node.in_order or len(node.values) == 1) and node.call_index not in self._handed_in:
            return next((names for names in result_names(node.frames) if len(names) in (1, len(node.values))), ())
        return self._assigned.get(node.call_index, ())
