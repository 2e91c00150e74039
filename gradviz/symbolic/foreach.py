"""Calls on lists of tensors, `torch._foreach_*`, stated as the calls on their i-th tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

_PREFIX = "_foreach_"
_OTHERWISE = {"norm": "linalg_vector_norm"}
_WITH_NUMBERS = {"maximum": "clamp_min", "minimum": "clamp_max"}
"""Of two tensors, and what a tensor and a number have in their place."""


_SCALED = frozenset({"addcdiv", "addcmul"})
"""Functions whose last argument, a number each, is one by name where there are no lists."""


def is_of_lists(overload: OpOverload) -> bool:
    """Whether its calls take and give lists of tensors."""
    return str(overload._schema.name).partition("::")[2].startswith(_PREFIX)


def foreach_statement(overload: OpOverload) -> Callable[..., Any] | None:
    """The function that makes, of the arguments of a call on lists, a list of results one by one; None for other calls."""
    if not is_of_lists(overload) or overload._schema.is_mutable:
        return None
    function = str(overload._schema.name).partition("::")[2].removeprefix(_PREFIX)
    if overload._overloadname.startswith("Scalar"):
        function = _WITH_NUMBERS.get(function, function)
    packet = getattr(torch.ops.aten, _OTHERWISE.get(function, function), None)
    if packet is None:
        return None

    def statement(*args: Any, **kwargs: Any) -> list[Tensor]:
        if function in _SCALED:
            number = next(iter((*args[3:], *kwargs.values())), 1)
            args, kwargs = args[:3], {"value": number.tolist() if isinstance(number, Tensor) else number}
        return _one_by_one(packet, args, kwargs)

    return statement


def _one_by_one(packet: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Tensor]:
    """What `packet` gives of the i-th items of the lists among the arguments, for all i."""
    count = next(len(value) for value in (*args, *kwargs.values()) if isinstance(value, (list, tuple)))

    def at(place: int, value: Any) -> Any:
        return value[place] if isinstance(value, (list, tuple)) else value

    return [
        packet(*(at(place, value) for value in args), **{name: at(place, value) for name, value in kwargs.items()})
        for place in range(count)
    ]
