"""Optimizers among the values in sight of a step -> which parameter each holds, and at what learning rate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch.optim.optimizer import Optimizer

from gradviz.recording.names import MAX_ITEMS


class Held(NamedTuple):
    """What an optimizer says of a parameter.

    Attributes:
        optimizer: the name of the variable that it is in.
        rule: its class, "Adam".
        rate: the learning rate; None where it has none, or where a schedule holds it at 0 for now.
        is_fresh: whether it has not moved the parameter yet.
    """

    optimizer: str
    rule: str
    rate: float | None
    is_fresh: bool


def optimizers_in(named: Mapping[str, Any]) -> dict[str, Optimizer]:
    """The optimizers among named values, also those in lists, tuples and dicts of up to `MAX_ITEMS`.

    >>> import torch
    >>> weight = torch.ones(1, requires_grad=True)
    >>> list(optimizers_in({"x": 1, "both": [torch.optim.SGD([weight]), torch.optim.Adam([weight])]}))
    ['both[0]', 'both[1]']
    """
    found: dict[str, Optimizer] = {}
    for name, value in named.items():
        if isinstance(value, Optimizer):
            found[name] = value
        elif isinstance(value, (list, tuple, dict)) and len(value) <= MAX_ITEMS:
            items = list(value.items()) if isinstance(value, dict) else enumerate(value)
            found |= {f"{name}[{place!r}]": item for place, item in items if isinstance(item, Optimizer)}
    return found


def held_by(optimizers: Mapping[str, Optimizer]) -> Iterator[tuple[Tensor, Held]]:
    """Each parameter with what holds it."""
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            rate = group.get("lr")
            if rate is not None and not rate and group.get("initial_lr"):
                rate = None
            for parameter in group["params"]:
                yield parameter, Held(
                    optimizer=name,
                    rule=type(optimizer).__name__,
                    rate=None if rate is None else float(rate),
                    is_fresh=not optimizer.state.get(parameter),
                )
