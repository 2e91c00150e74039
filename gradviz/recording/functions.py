"""The custom `autograd.Function`s that traced code applies: which class, to what, and what of its forward is not seen."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor

APPLY = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]
"""The code of `Function.apply`, whose frame knows what a forward is called with."""


class Applied(NamedTuple):
    """One call of `Function.apply`, with its live arguments."""

    function: Any
    args: tuple[Any, ...]

    @classmethod
    def in_frame(cls, frame: FrameType) -> Applied:
        return cls(frame.f_locals["cls"], tuple(frame.f_locals["args"]))

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
    """

    function: Any
    args: tuple[Any, ...] | None = None
    places: Mapping[int, int] = field(default_factory=dict)
    read: tuple[str, ...] = ()

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

    @property
    def has_own_setup(self) -> bool:
        """Whether its forward takes no `ctx`."""
        return bool(self.function.setup_context is not torch.autograd.Function.setup_context)

    def __deepcopy__(self, memo: dict[int, Any]) -> CustomFunction:
        return self  # what forward was called with may be anything


def _line_of_def(code: CodeType) -> int:
    """The line of `def`, below the decorators, with which a function's code begins."""
    first = code.co_firstlineno
    lines = (linecache.getline(code.co_filename, line).lstrip() for line in range(first, first + 10))
    return first + next((below for below, line in enumerate(lines) if line.startswith("def ")), 0)
