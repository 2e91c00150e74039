"""What a module holds: the modules within it, and their parameters and buffers, each under its dotted path."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

ModulesWithin = list[tuple[str, torch.nn.Module]]
"""A root under the path "", and the modules within it."""
_TELLING = ("named_modules", "named_parameters", "parameters")
"""What a class of modules overrides to tell its parameters in its own way, as wrappers do."""


def modules_within(root: torch.nn.Module) -> ModulesWithin:
    """What `root.named_modules()` tells, in a third of the time: that hands each on through a generator per level."""
    if type(root).named_modules is not torch.nn.Module.named_modules:
        return [*root.named_modules()]
    found: ModulesWithin = []
    seen: set[int] = set()
    pending = [("", root)]
    while pending:
        path, module = pending.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found.append((path, module))
        if module._modules:  # most hold none
            prefix = f"{path}." if path else ""
            pending += [(prefix + name, child) for name, child in module._modules.items() if child is not None][::-1]
    return found


def parameters_within(root: torch.nn.Module, modules: ModulesWithin) -> Iterable[tuple[str, Tensor]]:
    """The parameters of each of the `modules_within` a root under the first path that leads to it.

    A class that tells them itself is asked.
    """
    if any(getattr(type(root), told) is not getattr(torch.nn.Module, told) for told in _TELLING):
        return root.named_parameters(remove_duplicate=False)
    return [
        (f"{path}.{name}" if path else name, parameter)
        for path, module in modules
        for name, parameter in module._parameters.items()
        if parameter is not None
    ]


def buffers_within(root: torch.nn.Module, modules: ModulesWithin) -> Iterable[tuple[str, Tensor]]:
    """What `root.named_buffers()` tells, each buffer once, of the `modules_within` a root."""
    if type(root).named_buffers is not torch.nn.Module.named_buffers:
        return root.named_buffers()
    found: dict[int, tuple[str, Tensor]] = {}
    for path, module in modules:
        if module._buffers:
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    found.setdefault(id(buffer), (f"{path}.{name}" if path else name, buffer))
    return found.values()
