"""Turns code that runs under `Recorder` into the list of aten calls that it made, in order.

The recorder is a dispatch mode: it sits below autograd, so it sees each call after autograd has made its node, and the
sequence number read then says which node that was. Everything that costs time (snapshots, names, graphs) is left to the
reader of the recording; what happens per call is one tuple.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from gradviz.opcall import Effects, OpCall, effects_of, flat_outputs, tensors_of, written_tensors
from gradviz.recording.again import LARGE_BYTES, Repeatable
from gradviz.recording.bytecode import Frames, held_names, is_in_loop
from gradviz.recording.data_assignment import listen, stop_listening
from gradviz.recording.functions import Applied
from gradviz.recording.hooks import count_own
from gradviz.recording.keeping import EVERYTHING, Keeper, Keeping, is_plain, stand_ins
from gradviz.recording.kept_graphs import KeptGraphs
from gradviz.recording.module_names import called_as
from gradviz.recording.names import local_value
from gradviz.recording.nodes import is_leaf
from gradviz.recording.scopes import Scope, ScopeStack
from gradviz.recording.spread import refuse_sharded_module
from gradviz.recording.user_code import NOTHING, Seen, run_on, seen_from
from gradviz.recording.versions import Versions, is_shared, storage_bytes
from gradviz.standin import StandIn

# torch.compile must not look into the recorder. By default torch wraps each dispatched call for that, and imports all of
# dynamo; where it can be told once, about the code itself, a call costs a fifth less.
_eval_frame: Any = getattr(torch._C, "_dynamo", None) and torch._C._dynamo.eval_frame
_CAN_SKIP = all(hasattr(_eval_frame, name) for name in ("set_code_exec_strategy", "_FrameExecStrategy", "_FrameAction"))
_sequence_number: Callable[[], int] = torch._C._autograd._get_sequence_nr
_is_grad_enabled = torch.is_grad_enabled
_new: Callable[..., RecordedCall] = tuple.__new__  # what the class of a named tuple calls in turn, by a function more
_DETACH = torch.ops.aten.detach.default
_RESUMED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
MAX_FRAMES = 12
"""How many of the user's own frames, innermost first, are kept with a call: for its source line and its name."""
MAX_BOOKKEEPING = 4
"""How many calls torch may add after the one whose result the user gets, as `sigmoid` adds a `detach`."""


class RecordedCall(NamedTuple):
    """One aten call with its live tensors.

    `outputs` are the results, flattened: None stands where the op returned no tensor. `sequence` is the number of the
    autograd node that was made for it, -1 where none was. Calls with the same `visit` come from one evaluation of one place
    in the user's code, as the `t` and `addmm` of one `linear(x)` do.
    """

    overload: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Tensor | None, ...]
    sequence: int
    grad_enabled: bool
    frames: Frames
    visit: int
    scope: Scope

    @property
    def module(self) -> torch.nn.Module | None:
        """The innermost module that was running."""
        return self.scope.module


class UncompiledMode(TorchDispatchMode):
    """A dispatch mode that torch.compile does not look into."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)  # type: ignore[no-untyped-call]
        if _CAN_SKIP:
            skip = _eval_frame._FrameExecStrategy(_eval_frame._FrameAction.SKIP, _eval_frame._FrameAction.SKIP)
            _eval_frame.set_code_exec_strategy(cls.__torch_dispatch__.__code__, skip)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return not _CAN_SKIP


class Recorder(UncompiledMode):
    """Records every aten call made in this thread while it is entered.

    Attributes:
        calls: the calls in order.
        applied: the custom Functions that were applied, each under the first call made since autograd made its node.
        versions: what their tensors held when.
        keeper: sets aside what is too much to be kept.
        root_modules: the modules that were called from outside any module, in order.
        root_names: id of a root module -> what the code that called it calls it.
        replacements: the calls among them that stand for an assignment to `.data`.
        any_hooked: whether any module had backward hooks when it was called.
        kept_graphs: the buffers of called modules that hold the graph of an earlier step.
    """

    def __init__(self, keeping: Keeping = EVERYTHING) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[RecordedCall] = []
        self.applied: dict[int, Applied] = {}
        self.versions = Versions()
        references = partial(_references, self.calls, self.applied)  # holds no recorder: no cycle
        self.keeper = Keeper(keeping, self.versions, references)
        self.root_modules: list[torch.nn.Module] = []
        self.root_names: dict[int, str] = {}
        self.replacements: set[int] = set()
        self.any_hooked = False
        self.kept_graphs = KeptGraphs()
        self._thread = threading.get_ident()
        self._last_sequence = 0
        self._visit = 0
        self._scopes = ScopeStack()
        self._around_modules: list[Seen] = [NOTHING]  # then what lies around each open call of a module
        self._seen, self._seen_at = NOTHING, -1  # from the last call, and where its frame stood then
        self._frames: Frames = ()  # where the last call stood
        self._handles: list[Any] = []
        self._versioned_calls = 0
        self._repeatable = Repeatable(self.calls, self.versions)
        self._may_be_large = self._repeatable.may_be_large
        self._forward: FrameType | None = None  # the one that is running, once it is noted

    def __enter__(self) -> Recorder:
        self._handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, always_call=True),
        ]
        count_own(len(self._handles))
        listen(self._data_assigned)
        if torch._C._is_any_autocast_enabled():
            torch.clear_autocast_cache()  # else what the code cast before, in the same block, would not be cast in sight
        super().__enter__()  # type: ignore[no-untyped-call]
        self._last_sequence = _sequence_number()
        self.kept_graphs.begin(self._last_sequence)
        return self

    def __exit__(self, *exception: Any) -> None:
        try:
            super().__exit__(*exception)  # type: ignore[no-untyped-call]
        finally:
            stop_listening(self._data_assigned)
            for handle in self._handles:
                handle.remove()
            self._scopes.clear()
            self._around_modules = [NOTHING]
            self.forget_frames()
            self._forward = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        effects = effects_of(func)
        live_frames, applying = self._place(sys._getframe(1))
        if effects.writes and (not effects.in_training or args[5]):
            self._end_versions(effects, written_tensors(func, args, kwargs))
        result = called_as_outside(func, args, kwargs)
        keeper = self.keeper
        if type(result) is Tensor:
            outputs: tuple[Tensor | None, ...] = (result,)
            size = result.numel() * result.itemsize
            keeper.made_bytes += size
            if size >= LARGE_BYTES:
                self._may_be_large.append(len(self.calls))
        else:
            # Of what writes to its arguments and returns nothing, as _foreach_mul_, these are the results.
            returns = result is not None or not effects.writes
            outputs = flat_outputs(result) if returns else tuple(written_tensors(func, args, kwargs))
            keeper.made_bytes += sum([output.numel() * output.itemsize for output in outputs if output is not None])
            self._may_be_large.append(len(self.calls))
        if effects.allocates:
            self.versions.register_unfilled(output for output in outputs if output is not None)
        sequence = _sequence_number()
        made_node = sequence != self._last_sequence
        self._last_sequence = sequence
        if applying or self._forward is not None:
            self._note_applied(applying[-1] if applying else None, made_node)  # autograd makes nodes for the outermost alone
        scopes = self._scopes.of_modules
        scope = scopes[-1] if scopes else self._scopes.innermost(live_frames[0] if live_frames else None)
        own = sequence - 1 if made_node else -1
        self.calls.append(
            _new(RecordedCall, (func, args, kwargs, outputs, own, _is_grad_enabled(), self._frames, self._visit, scope))
        )
        if keeper.made_bytes > keeper.look_at_bytes:
            keeper.look()
        return result

    def _place(self, frame: FrameType) -> tuple[list[FrameType], list[FrameType]]:
        """Notes where the call that is being made stands in the user's code; counts the visits.

        Before the call is made: the frames of the last one, which may be over, are not held any longer then.

        Returns:
            The user's live frames, the innermost first, and which forwards the call lies in.
        """
        seen = self._seen
        if frame is not seen.start or frame.f_code.co_flags & _RESUMED:  # another may call a generator than did before
            seen = seen_from(frame, MAX_FRAMES, self._around_modules[-1])
        elif frame.f_lasti != self._seen_at:
            seen = run_on(seen)
        _, live_frames, frames, applying = seen
        if frames != self._frames or self._visit_is_over(live_frames, frames):
            self._visit += 1
            self._frames = frames
        self._seen, self._seen_at = seen, frame.f_lasti
        return live_frames, applying

    def forget_frames(self) -> None:
        """Lets go of the frames of the last call, and of what their variables hold."""
        self._seen = NOTHING

    def _note_applied(self, frame: FrameType | None, made_node: bool) -> None:
        if frame is not self._forward:  # else its forward makes nodes of its own, under enable_grad
            self._forward = None
            if frame is not None and made_node and (found := Applied.in_frame(frame)) is not None:
                self._forward = frame
                self.applied[len(self.calls)] = found

    def op_call(self, index: int) -> OpCall:
        """Call `index` as a value: its arguments as they were before it, its results as they were after it."""
        return self.versions.op_call(index, *self.calls[index][:4])

    def leaves(self) -> list[Tensor]:
        """The leaves that the calls read."""
        read = (tensor for call in self.calls for _, tensor in tensors_of(call.overload, call.args, call.kwargs))
        return list({id(tensor): tensor for tensor in read if is_leaf(tensor)}.values())

    def _end_versions(self, effects: Effects, written: Iterator[Tensor]) -> None:
        for tensor in written:
            if effects.rebinds:
                self._register_calls()
                self.versions.replace(tensor, tensor.detach(), len(self.calls))
                continue
            is_alone = not is_shared(tensor)
            if not is_alone:
                self._register_calls()
            aside = self._again(tensor) if is_alone else None
            if aside is None and not self.keeper.has_room_for_copy(storage_bytes(tensor)):
                aside = self._aside
            self.versions.end(
                tensor,
                len(self.calls),
                is_alone=is_alone,
                reshapes=effects.reshapes,
                fills=effects.fills,
                set_aside=aside,
            )

    def _data_assigned(self, tensor: Tensor, before: Tensor, value: Tensor) -> None:
        """Notes `tensor.data = value` as a call: from then on the tensor is the value, without its gradient."""
        self._register_calls()
        live_frames, _ = self._place(sys._getframe(2))
        self._visit += 1
        scope = self._scopes.innermost(live_frames[0] if live_frames else None)
        self.versions.replace(tensor, before, len(self.calls))
        self.replacements.add(len(self.calls))
        self.calls.append(RecordedCall(_DETACH, (value,), {}, (tensor,), -1, False, self._frames, self._visit, scope))

    def _register_calls(self) -> None:
        for call in self.calls[self._versioned_calls :]:
            self.versions.register(_tensors_in_call(call))
        self._versioned_calls = len(self.calls)

    def _again(self, tensor: Tensor) -> Callable[[Tensor], Tensor] | None:
        """What makes a stand-in for a tensor that is about to be overwritten, if it can be computed again."""
        standin = self._repeatable.overwritten(tensor) if self.keeper.may_compute_again else None
        return None if standin is None else lambda _: standin

    def settle(self) -> None:
        """To be called when all is recorded and before it is read: keeps what is to be kept."""
        self._repeatable.settle(self.keeper)
        self.keeper.settle()

    def _aside(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor that is about to be overwritten."""
        keeping, held = self.keeper.keeping, tensor.detach()
        return stand_ins([held], keeping)[0] if is_plain(held) else StandIn(held, reason=keeping.reason)

    def _visit_is_over(self, live_frames: list[FrameType], frames: Frames) -> bool:
        """Whether the last calls, made at this same place, are over.

        They are where it is another call of the user's function, or where a loop has come round: a result has reached the
        variable that it is assigned to.
        """
        if not live_frames:
            return False
        if not self._seen.frames or live_frames[0] is not self._seen.frames[0]:
            return True
        if not is_in_loop(*frames[0]):
            return False
        for frame, (code, offset) in zip(live_frames, frames, strict=True):
            if names := held_names(code, offset):
                held = local_value(frame, names[0])
                if held is None:
                    return False
                recent = [call.outputs for call in self.calls[-MAX_BOOKKEEPING:] if call.visit == self._visit]
                return any(held is output for outputs in recent for output in outputs)
        return False

    def _enter_module(self, module: torch.nn.Module, args: Any) -> None:
        if threading.get_ident() == self._thread:
            refuse_sharded_module(module)
            is_new = not self._scopes.of_modules and all(module is not known for known in self.root_modules)
            if is_new:
                self.root_modules.append(module)
            # What lies around the module that is running stands still, and is not walked again.
            around = seen_from(sys._getframe(1), MAX_FRAMES, self._around_modules[-1])
            if is_new and around.frames and (name := called_as(module, around.frames[0])):
                self.root_names[id(module)] = name
            if module._backward_hooks or module._backward_pre_hooks:
                self.any_hooked = True
            if module._buffers:
                self.kept_graphs.note(module)
            self._around_modules.append(around)
            self._scopes.enter_module(module, around.frames[0] if around.frames else None)

    def _leave_module(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        if threading.get_ident() == self._thread:
            self._scopes.leave_module()
            if len(self._around_modules) > 1:
                self._around_modules.pop()


def called_as_outside(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call as it runs outside of a dispatch mode.

    Within one torch does not look whether a tensor is a conjugate or a negative view, so that a kernel that makes such views
    for itself reads them wrong (seen on 2.13: linalg_pinv of complex matrices gives other numbers).
    """
    for argument in args:
        if isinstance(argument, Tensor) and argument.is_complex():
            break
    else:
        return func(*args, **kwargs)
    excluded = torch._C._dispatch_tls_local_exclude_set()
    for key in (torch._C.DispatchKey.Conjugate, torch._C.DispatchKey.Negative):
        excluded = excluded.remove(key)
    with torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), excluded):
        return func(*args, **kwargs)


def _references(calls: list[RecordedCall], applied: dict[int, Applied]) -> Iterator[Tensor]:
    for call in calls:
        yield from _tensors_in_call(call)
    for one in applied.values():
        yield from one.tensors()


def _tensors_in_call(call: RecordedCall) -> Iterator[Tensor]:
    for _, tensor in tensors_of(call.overload, call.args, call.kwargs):
        yield tensor
    yield from (output for output in call.outputs if output is not None)
