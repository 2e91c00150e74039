"""The arguments of a recorded call by the names of its functional schema, with defaults and edge positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from gradviz.opcall import OpCall
from gradviz.symbolic.registry import functional_overload


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument of a call.

    Attributes:
        name: as in the schema.
        value: as recorded, or the schema's default.
        positions: for a tensor its edge key; for a list one per item, None for items that are no tensors; else ().
        keyword_only: whether it must be passed by keyword.
    """

    name: str
    value: Any
    positions: tuple[int | None, ...]
    keyword_only: bool


def bind(call: OpCall) -> list[Argument]:
    """All arguments in the order of the functional schema; `out=` tensors are left out."""
    schema = call.overload._schema
    functional = functional_overload(call.overload)
    wanted = {argument.name for argument in (functional or call.overload)._schema.arguments}
    bound = []
    next_position = 0
    for place, argument in enumerate(schema.arguments):
        if place < len(call.args):
            value = call.args[place]
        elif argument.name in call.kwargs:
            value = call.kwargs[argument.name]
        else:
            value = argument.default_value
        items = value if isinstance(value, (list, tuple)) else (value,)
        positions: list[int | None] = []
        for item in items:
            positions.append(next_position if isinstance(item, Tensor) else None)
            next_position += isinstance(item, Tensor)
        if argument.name in wanted:
            kept = tuple(positions) if any(position is not None for position in positions) else ()
            bound.append(Argument(name=argument.name, value=value, positions=kept, keyword_only=argument.kwarg_only))
    return bound


def call_with(
    function: Callable[..., Any],
    arguments: list[Argument],
    replace: Callable[[Argument, Tensor, int], Any],
    **extra: Any,
) -> Any:
    """The function at the arguments, each tensor replaced by `replace(argument, tensor, position)`."""
    positional, keywords = [], dict(extra)
    for argument in arguments:
        value = argument.value
        if argument.positions:
            items = [
                item if position is None else replace(argument, item, position)
                for item, position in zip(
                    value if isinstance(value, (list, tuple)) else (value,), argument.positions, strict=True
                )
            ]
            value = items if isinstance(value, (list, tuple)) else items[0]
        if argument.keyword_only:
            keywords[argument.name] = value
        else:
            positional.append(value)
    return function(*positional, **keywords)


def functional_form(overload: OpOverload) -> OpOverload:
    """The functional overload, or the overload itself where it has none or is one."""
    return functional_overload(overload) or overload


def working_dtype(tensors: list[Tensor | None]) -> torch.dtype:
    """The coarsest floating dtype among the tensors, of complex ones that of their parts: rounding is bounded in it."""
    present = [tensor.dtype for tensor in tensors if tensor is not None]
    floating = [dtype.to_real() for dtype in present if dtype.is_floating_point or dtype.is_complex]
    return max(floating, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)
