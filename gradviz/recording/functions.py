"""The custom `autograd.Function`s that traced code applies: which class, to what, and what of its forward is not seen."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradviz.recording.names import local_values


class Applied(NamedTuple):
    """One application of a custom Function, with its live arguments.

    Attributes:
        functions: its class; of a forward without `ctx`, which does not say whose it is, all classes that share it.
        args: what forward was called with, without `ctx`.
        differentiated: whether autograd's node for it takes a gradient back; None where forward has no `ctx` that says so.
    """

    functions: tuple[Any, ...]
    args: tuple[Any, ...]
    differentiated: bool | None = None

    @classmethod
    def in_frame(cls, frame: FrameType) -> Applied | None:
        """What the frame of a forward tells; None where its variables no longer hold what it was called with.

        Read from the forward, for `Function.apply` itself may be compiled code without a frame, as in torch 2.15.
        """
        code, held = frame.f_code, local_values(frame)
        names = code.co_varnames[: code.co_argcount]
        if any(name not in held for name in names):  # one was deleted
            return None
        star = code.co_varnames[code.co_argcount + code.co_kwonlyargcount :][: bool(code.co_flags & inspect.CO_VARARGS)]
        rest = held.get(star[0]) if star else ()
        if not isinstance(rest, tuple):
            return None
        args = (*(held[name] for name in names), *rest)
        if args and isinstance(args[0], torch.autograd.function.BackwardCFunction):
            context: Any = args[0]
            return cls((context._forward_cls,), args[1:], bool(context.next_functions))
        return cls(tuple(one for one in _functions() if _code_of_forward(one) is code and has_own_setup(one)), args)

    def tensors(self) -> list[Tensor]:
        return [argument for argument in self.args if isinstance(argument, Tensor)]


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomFunction:
    """What is known of one node of a custom Function, beside the calls of its forward.

    Attributes:
        function: the class.
        args: what its forward was called with, without `ctx`, tensors as they were then; None where that was not seen.
        places: argument position (the edge key) -> place in `args`.
        read: the lines on which forward made Python numbers of floating-point values.
        conditions: those by which `where` and `masked_fill` in forward choose, each with the function and its line.
    """

    function: Any
    args: tuple[Any, ...] | None = None
    places: Mapping[int, int] = field(default_factory=dict)
    read: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str, Tensor], ...] = ()

    @property
    def name(self) -> str:
        return str(self.function.__name__)

    @property
    def backward_source(self) -> str:
        """The line of its backward, "file.py:12"."""
        function = self.function
        own = function.backward if function.vjp is torch.autograd.Function.vjp else function.vjp
        code = getattr(inspect.unwrap(own), "__code__", None)
        return "" if code is None else f"{Path(code.co_filename).name}:{_line_of_def(code)}"

    def argument(self, place: int) -> str:
        """What its forward calls the argument at a place, without `ctx`: "w", or "argument 1" where it has no name."""
        code = _code_of_forward(self.function)
        names = () if code is None else code.co_varnames[: code.co_argcount][not self.has_own_setup :]
        return names[place] if place < len(names) else f"argument {place}"

    @property
    def has_own_setup(self) -> bool:
        """Whether its forward takes no `ctx`."""
        return has_own_setup(self.function)

    def __deepcopy__(self, memo: dict[int, Any]) -> CustomFunction:
        return self  # what forward was called with may be anything


def is_forward(code: CodeType) -> bool:
    """Whether this is what `apply` runs as the forward of a custom Function."""
    return any(_code_of_forward(function) is code for function in _functions())


def has_own_setup(function: Any) -> bool:
    """Whether the forward of a custom Function takes no `ctx`."""
    return bool(function.setup_context is not torch.autograd.Function.setup_context)


def _functions() -> Iterator[Any]:
    """All custom Functions that there are now."""
    pending = torch.autograd.Function.__subclasses__()
    while pending:
        function = pending.pop()
        yield function
        pending.extend(function.__subclasses__())


def _code_of_forward(function: Any) -> CodeType | None:
    return getattr(function.forward, "__code__", None)


def _line_of_def(code: CodeType) -> int:
    """The line of `def`, below the decorators, with which a function's code begins."""
    first = code.co_firstlineno
    lines = (linecache.getline(code.co_filename, line).lstrip() for line in range(first, first + 10))
    return first + next((below for below, line in enumerate(lines) if line.startswith("def ")), 0)
