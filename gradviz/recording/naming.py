"""Decides what each value of a traced graph is called, from all that is known about the user's code.

Where two names fit, the first assigned wins: explicit names, then arguments, then what the code assigns a call's result to,
then local variables, closure and parameters. A value that no name fits gets a letter, in order of computation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.nn.modules._functions import BackwardHookFunction

from gradviz.recording.bytecode import Frames, first_names, source_line
from gradviz.recording.modules import ModulesWithin, modules_within, parameters_within
from gradviz.recording.names import CONTAINERS, MAX_ITEMS, letters, named_tensors, root_modules
from gradviz.recording.nodes import forward_class, node_of
from gradviz.recording.optimizers import optimizers_in
from gradviz.recording.placing import APPENDED
from gradviz.recording.program import Note
from gradviz.recording.record import RecordedCall, Recorder

_VIEW = torch.ops.aten.view.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Where names come from.

    Attributes:
        explicit: name -> tensor, from the `names=` option.
        inputs: argument name -> input, tensors in nested containers.
        surroundings: name -> value, from the closure, the globals or the caller's frame.
        notes: what sub-expressions of math text are called.
        source_frame: where `trace` was called: the source line of calls that no user frame made.
    """

    explicit: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    surroundings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[Note] = ()
    source_frame: tuple[CodeType, int] | None = None
    _within: dict[int, ModulesWithin] = field(default_factory=dict, init=False, repr=False)

    def modules_within(self, root: torch.nn.Module) -> ModulesWithin:
        """What `modules_within` tells of one of the inputs or surroundings, which is asked once."""
        found = self._within.get(id(root))
        if found is None:
            found = self._within[id(root)] = modules_within(root)
        return found

    def root_modules(self) -> dict[str, torch.nn.Module]:
        """The modules with parameters among the inputs and surroundings, each once, under its first name."""
        return root_modules({**self.inputs, **self.surroundings})

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers among the inputs and surroundings."""
        return optimizers_in({**self.inputs, **self.surroundings})

    def source(self, frames: Frames) -> str:
        """The user's line that made a call, `file.py:12`: its innermost frame, or where `trace` was called."""
        if frames:
            return source_line(*frames[0])
        return source_line(*self.source_frame) if self.source_frame else ""


class TensorNames:
    """Looks up what the tensors of one trace are called: by identity, and by the autograd edge that they carry."""

    def __init__(self, naming: Naming) -> None:
        self._by_id: dict[int, str] = {}
        self._by_edge: dict[tuple[Node, int], str] = {}
        self._kept: list[Tensor] = []
        self.expressions: dict[int, str] = {}
        for source in (naming.explicit, naming.inputs):
            self._learn(named_tensors(source, within=naming.modules_within))
        for note in naming.notes:
            self.expressions.setdefault(id(note.tensor), note.text)
            if note.name:
                self._learn([(note.name, note.tensor)])
        by_containers = sorted(naming.surroundings.items(), key=lambda item: isinstance(item[1], CONTAINERS))
        others = named_tensors(dict(by_containers), most=MAX_ITEMS, by_key=True, within=naming.modules_within)
        self._learn(others)  # last: `params = [*model.parameters()]` names none

    def of_tensor(self, tensor: Tensor) -> str:
        """The name of this tensor object; "" where it has none."""
        return self._by_id.get(id(tensor), "")

    def of_memory(self, tensor: Tensor) -> str:
        """The name of a tensor that looks at the same memory in the same way; "" where there is none."""
        return self._by_memory.get(memory_of(tensor), "")

    @property
    def knows_edges(self) -> bool:
        """Whether any named tensor was made by an autograd node."""
        return bool(self._by_edge)

    def of_edge(self, node: Node, output: int) -> str:
        """The name of the tensor that an autograd node made; "" where it has none."""
        return self._by_edge.get((node, output), "")

    def tensors(self) -> list[Tensor]:
        """The named tensors, in the order in which they were named."""
        return self._kept

    @cached_property
    def _by_memory(self) -> dict[Any, str]:
        return {memory_of(tensor): self._by_id[id(tensor)] for tensor in reversed(self._kept) if tensor.grad_fn is None}

    def _learn(self, pairs: Iterable[tuple[str, Tensor]]) -> None:
        for name, tensor in pairs:
            self._kept.append(tensor)
            self._by_id.setdefault(id(tensor), name)
            if tensor.grad_fn is not None:
                self._by_edge.setdefault((tensor.grad_fn, tensor.output_nr), name)


def module_paths(naming: Naming) -> tuple[dict[int, str], dict[int, str], dict[str, str]]:
    """What the modules among the inputs and surroundings, those within them and their tensors are called.

    Returns:
        id of each module, of its parameters and buffers -> the module's dotted path; id of each parameter -> the outermost
        module that holds it: its name, or its class where it has none; dotted path of each module -> the name of its class.
    """
    paths: dict[int, str] = {}
    outermost: dict[int, str] = {}
    classes: dict[str, str] = {}
    roots = naming.root_modules()
    for name, root in roots.items():
        prefix = f"{name}." if name and len(roots) > 1 else ""
        called = name or type(root).__name__
        modules = naming.modules_within(root)
        for path, module in modules:
            full = prefix + path if path else prefix[:-1]
            if first := paths.setdefault(id(module), full):
                classes[first] = type(module).__name__
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None:
                    paths.setdefault(id(tensor), full)
        outermost |= dict.fromkeys([id(parameter) for _, parameter in parameters_within(root, modules)], called)
    return paths, outermost, classes


def memory_of(tensor: Tensor) -> Any:
    if tensor.layout is not torch.strided or tensor.numel() == 0 or tensor.device.type == "meta":
        return id(tensor)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def last_parts(calls: Iterable[str]) -> set[str]:
    """What calls of modules and functions are called in short.

    >>> sorted(last_parts(["block.q", "block.k", "split"]))
    ['k', 'q', 'split']
    """
    return {name.rpartition(".")[2] for name in calls}


def assigned_in_code(recorder: Recorder, handed_in: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Call index -> the names that the user's code assigns its results to.

    Of the calls of one visit the code gets back only the last that autograd or the user can see; those of `handed_in` never.
    """
    seen: dict[int, int] = {}  # visit -> its last call
    made: dict[int, int] = {}  # the same of those for which autograd made a node
    for index, call in enumerate(recorder.calls):
        if index not in handed_in:
            (made if call.sequence >= 0 else seen)[call.visit] = index
    called = {(id(code), offset) for call in recorder.calls for code, offset in call.frames[:1]}
    found: dict[int, tuple[str, ...]] = {}
    for _, index in sorted((seen | made).items()):
        call = recorder.calls[index]
        if names := first_names(call.frames, len(call.outputs), called):
            found[index] = names
    return found


def calls_behind(recorder: Recorder) -> dict[Any, int]:
    """Where in memory a result without gradient lies, and how -> the call that made it: a leaf may be wrapped around one."""
    return {
        memory_of(output): index
        for index, call in enumerate(recorder.calls)
        if call.sequence < 0
        for output in call.outputs
        if output is not None
    }


def hooked_inputs(recorder: Recorder) -> set[int]:
    """The calls by which torch hands a module with a full backward hook its inputs.

    They stand where the module is called, and what is assigned there is its result.
    """
    if not recorder.any_hooked:
        return set()
    calls = recorder.calls
    views = [index for index, call in enumerate(calls) if call.overload is _VIEW and _has_backward_hooks(call.scope.called)]
    if not views:
        return set()
    first: dict[int, int] = {}
    for call in calls:
        first.setdefault(id(call.scope), call.visit)
    return {index for index in views if calls[index].visit == first[id(calls[index].scope)] and _is_hooked(calls[index])}


def _has_backward_hooks(called: Any) -> bool:
    return isinstance(called, torch.nn.Module) and bool(called._backward_hooks or called._backward_pre_hooks)


def _is_hooked(call: RecordedCall) -> bool:
    return any(
        tensor is not None and (node := node_of(tensor)) is not None and forward_class(node) is BackwardHookFunction
        for tensor in call.outputs
    )


class UniqueNames:
    """Hands out each name once: a second `h` becomes `h_2`; a value without a name gets the next free letter.

    Args:
        called: what else has a name in the picture, as modules do: no value gets it for its letter.
    """

    def __init__(self, called: Collection[str] = ()) -> None:
        self._taken: set[str] = set()
        self._called = frozenset(called)
        self._letters = letters()
        self._counts: dict[str, int] = {}

    def named(self, name: str) -> str:
        if name.endswith(APPENDED):
            return self._numbered(name.removesuffix(APPENDED))
        candidate = name
        while candidate in self._taken:
            self._counts[name] = count = self._counts.get(name, 1) + 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate

    def _numbered(self, name: str) -> str:
        """The next of `name_1`, `name_2`, ...: the items of a container."""
        candidate = ""
        while not candidate or candidate in self._taken:
            self._counts[name + APPENDED] = count = self._counts.get(name + APPENDED, 0) + 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate

    def letter(self) -> str:
        letter = next(self._letters)
        while letter in self._taken or letter in self._called:
            letter = next(self._letters)
        self._taken.add(letter)
        return letter
