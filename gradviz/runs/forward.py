"""`ForwardPass`: one forward pass of a watched model, and the backward passes through it -> the notes of a step.

A dispatch mode sees each call below autograd and keeps numbers only: which nodes were made in which call of which module,
the statistics of what modules return, the units of a ReLU that are zero for all samples, and the first NaN. No tensor is
kept alive, nothing is changed, no random number is drawn.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils.weak import WeakIdKeyDictionary

from gradviz.opcall import KEEPING_CHANNELS, WITH_CHANNELS, flat_outputs, op_name, tensors_of
from gradviz.recording.bytecode import source_line
from gradviz.recording.nodes import node_of, sequence_number
from gradviz.recording.record import UncompiledMode, called_as_outside
from gradviz.recording.user_code import user_frames
from gradviz.runs.flow import Flow, ModuleCall
from gradviz.runs.notes import Origin
from gradviz.runs.plain import OddNumber, odd_numbers, plain, reading, tensors_in
from gradviz.statistics import Statistics, statistics_of

_KEEPING_CHANNELS = KEEPING_CHANNELS | {"clone", "_to_copy", "relu"}
_DISTRIBUTED = os.path.dirname(torch.distributed.__file__)
_UNFILLED = ("empty", "new_empty", "resize")
"""What these return holds whatever memory held."""


@dataclass(slots=True)
class Calls:
    """All calls of one module in a pass, while it runs.

    Attributes:
        kind: its class.
        value: of what it returned so far.
        calls: one by one.
    """

    kind: str
    value: Statistics | None = None
    calls: list[ModuleCall] = field(default_factory=list)


class ForwardPass(UncompiledMode):
    """Watches from `open` until the model returns, and its autograd nodes until `finish`.

    Attributes:
        modules: dotted path -> its calls, in the order of the first one.
        dead: module and source line of a ReLU -> for each of its units whether it was zero for all samples.
        nan: where the first NaN came from; None where there was none.
        infinity: where finite numbers first became infinite; an infinity that the code writes down, as of a mask, is none.
        in_eval: the dropouts and batch norms that ran in eval mode because the whole model did.
        returned_nan: whether what the model returned holds a NaN.
    """

    def __init__(self, model: nn.Module, paths: dict[int, str]) -> None:
        """`paths`: id of each module of the model -> its dotted path."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.modules: dict[str, Calls] = {}
        self.dead: dict[tuple[str, str], Tensor] = {}
        self.nan: Origin | None = None
        self.infinity: Origin | None = None
        self.in_eval: dict[str, None] = {}
        self.returned_nan = False
        self._model = model
        self._paths = paths
        self._thread = threading.get_ident()
        self._open_calls: list[ModuleCall] = []
        self._handles: list[Any] = []
        self._is_open = False
        self._last_sequence = 0
        self._calls_of: dict[int, tuple[ModuleCall, ...]] = {}
        self._made_by: dict[int, tuple[str, CodeType | None, int]] = {}
        self._returned: dict[tuple[int, int], list[ModuleCall]] = {}
        self._results: list[weakref.ReferenceType[Tensor]] = []
        self._channels: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._flow: Flow | None = None

    def open(self) -> None:
        """Starts, in the model's own pre-hook; stops by itself when the model returns or raises."""
        self._handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        super().__enter__()  # type: ignore[no-untyped-call]
        self._is_open = True
        self._last_sequence = torch._C._autograd._get_sequence_nr()
        self._enter_module(self._model, ())

    def close(self) -> None:
        """Leaves the dispatch mode, and listens to the autograd nodes from now on. Does nothing the second time."""
        if not self._is_open:
            return
        self._is_open = False
        for handle in self._handles:
            handle.remove()
        super().__exit__(None, None, None)  # type: ignore[no-untyped-call]
        self._open_calls.clear()
        alive = [result for reference in self._results if (result := reference()) is not None]
        roots = [node for result in alive if (node := node_of(result)) is not None]
        self._flow = Flow(roots, self._calls_of, self._returned)
        self._results.clear()

    @property
    def backwards(self) -> int:
        """How many backward passes came through so far."""
        return 0 if self._flow is None else self._flow.passes

    def made(self, number: int) -> bool:
        """Whether the node of that number was made in this pass."""
        return number in self._made_by

    def place_of(self, number: int) -> tuple[str, str]:
        """The module and the source line at which a node was made in this pass."""
        _, code, offset = self._made_by[number]
        calls = self._calls_of[number]
        return calls[-1].path if calls else "", "" if code is None else source_line(code, offset)

    def finish(self) -> Origin | None:
        """Stops listening; where cotangents first stopped being finite."""
        self.close()
        if self._flow is None:
            return None
        self._flow.close()
        if self._flow.broken is None:
            return None
        module, source = self.place_of(self._flow.broken)
        return Origin(
            what="gradient",
            number="NaN" if self._flow.has_nan else "infinity",
            made=self._flow.made_here,
            op=self._made_by[self._flow.broken][0],
            module=module,
            source=source,
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = called_as_outside(func, args, kwargs)
        if self._is_open:
            sequence = torch._C._autograd._get_sequence_nr()
            outputs = [output for output in flat_outputs(result) if output is not None and output.is_floating_point()]
            with reading():
                self._note(func, args, kwargs, outputs, sequence, sys._getframe(1))
        return result

    def _note(
        self,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        outputs: list[Tensor],
        sequence: int,
        frame: FrameType | None,
    ) -> None:
        """Notes one call: its floating outputs, and the number that the next autograd node will have."""
        op = op_name(func)
        if sequence != self._last_sequence:
            user = _user(frame)
            made_by = (op, None, 0) if user is None else (op, user.f_code, user.f_lasti)
            for number in range(self._last_sequence, sequence):
                self._calls_of[number] = self._around
                self._made_by[number] = made_by
            self._last_sequence = sequence
            self._results += map(weakref.ref, outputs)
        self._follow_channels(op, args, outputs)
        if self.nan is None and not func.is_view and not op.startswith(_UNFILLED):
            returned = odd_numbers(outputs)
            if returned and not _communicates(frame):
                given = odd_numbers([*(tensor for _, tensor in tensors_of(func, args, kwargs)), *args, *kwargs.values()])
                self._note_origin(op, returned, given, source_at(frame))
        if op == "relu" and outputs:
            self._count_dead(outputs[0], source_at(frame))

    @property
    def _around(self) -> tuple[ModuleCall, ...]:
        return self._open_calls[-1].around if self._open_calls else ()

    @property
    def _path(self) -> str:
        return self._open_calls[-1].path if self._open_calls else ""

    def _note_origin(self, op: str, returned: set[OddNumber], given: set[OddNumber], source: str) -> None:
        for number in sorted(returned):
            origin = Origin(what="value", number=number, made=number not in given, op=op, module=self._path, source=source)
            if number == "NaN":
                comes_of_infinity = origin.made and "infinity" in given and self.infinity is not None
                self.nan = self.infinity if comes_of_infinity else origin
            elif origin.made and self.infinity is None:
                self.infinity = origin

    def _follow_channels(self, op: str, args: tuple[Any, ...], outputs: list[Tensor]) -> None:
        """Remembers of which results dimension 1 counts the units, as behind a convolution."""
        kept = op in _KEEPING_CHANNELS and args and isinstance(args[0], Tensor) and args[0] in self._channels
        if outputs and (op in WITH_CHANNELS or kept):
            self._channels[outputs[0]] = True

    def _count_dead(self, output: Tensor, source: str) -> None:
        numbers = plain(output)
        if numbers is None or not numbers.numel() or numbers.ndim < 2:
            return
        dim = 1 if output in self._channels and numbers.ndim > 2 else -1
        flat = numbers == 0
        dead = flat.movedim(dim, 0).reshape(flat.shape[dim], -1).all(1)
        before = self.dead.get((self._path, source))
        self.dead[self._path, source] = dead & before if before is not None and before.shape == dead.shape else dead

    def _enter_module(self, module: nn.Module, args: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        path = self._paths.get(id(module))
        kind = type(module).__name__.removeprefix("FSDP")
        if path is None:  # made while the model runs
            path = f"{self._path}.{kind}".lstrip(".")
        if not (module.training or self._model.training) and _knows_training(module):
            self.in_eval[path] = None
        call = ModuleCall(path, kind, self._around)
        self.modules.setdefault(path, Calls(kind)).calls.append(call)
        self._open_calls.append(call)

    def _leave_module(self, module: nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() != self._thread or not self._open_calls:
            return
        call = self._open_calls.pop()
        with reading():
            for tensor in tensors_in(output):
                self._note_returned(call, tensor)
        if not self._open_calls:
            self.close()

    def _note_returned(self, call: ModuleCall, tensor: Tensor) -> None:
        numbers = plain(tensor) if tensor.is_floating_point() or tensor.is_complex() else None
        found = None if numbers is None else statistics_of(numbers)
        if found is not None:
            of_module = self.modules[call.path]
            of_module.value = found if of_module.value is None else of_module.value.with_more(found)
            self.returned_nan |= not self._open_calls and found.nans > 0
        self._results.append(weakref.ref(tensor))
        node = node_of(tensor)
        number = -1 if node is None else sequence_number(node)
        if call in self._calls_of.get(number, ()):
            self._returned.setdefault((number, tensor.output_nr), []).append(call)


def _knows_training(module: nn.Module) -> bool:
    """Whether a module of torch's computes something else in training mode."""
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
        return module.dropout > 0
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats


def _communicates(frame: FrameType | None) -> bool:
    """Whether torch.distributed made a call by itself: it hands around memory that holds nothing yet."""
    user = _user(frame)
    while frame is not None and frame is not user:
        if frame.f_code.co_filename.startswith(_DISTRIBUTED):
            return True
        frame = frame.f_back
    return False


def _user(frame: FrameType | None) -> FrameType | None:
    return next(iter(user_frames(frame, 1)), None)


def source_at(frame: FrameType | None) -> str:
    """The user's line that a frame runs, or the nearest one around it; "" where there is none."""
    user = _user(frame)
    return "" if user is None else source_line(user.f_code, user.f_lasti)
