"""What modules are called that no name leads to from outside: by the code that calls them, else by their class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count
from types import FrameType
from typing import Any

import torch

from gradviz.recording.bytecode import bound_in_loops
from gradviz.recording.modules import modules_within
from gradviz.recording.names import CONTAINERS, HOLDERS, MAX_ITEMS, frame_names, modules_among, named_items


def with_root_modules(
    named: Mapping[str, Any], called: Iterable[torch.nn.Module], known_as: Mapping[int, str]
) -> dict[str, Any]:
    """`named`, and those of the `called` modules that no named module holds.

    Args:
        named: name -> any value.
        called: the modules that the code called.
        known_as: id of a module -> what the code that called it calls it; others go by their class: `linear`, `linear_2`.
    """
    roots = modules_among(named).values()
    called = [module for module in called if all(module is not root for root in roots)]
    known = {id(module) for root in roots for _, module in modules_within(root)} if called else set()
    found = dict(named)
    for module in called:
        if id(module) not in known:
            name = known_as.get(id(module)) or type(module).__name__.lower()
            names = chain([name], (f"{name}_{number}" for number in count(2)))
            found[next(free for free in names if free not in found)] = module
    return found


def called_as(module: torch.nn.Module, frame: FrameType) -> str:
    """What the code of a frame calls a module: a variable, or an attribute or item of one; "" where it has no name there.

    A variable that a loop binds again and again, as `layer` in `for layer in layers`, gives way to the item, `layers[1]`.
    """
    variables = frame_names(frame)
    if frame.f_locals is frame.f_globals:
        variables = {name: value for name, value in variables.items() if name in frame.f_code.co_names}
    found = [name for name, value in variables.items() if value is module]
    lasting = [name for name in found if name not in bound_in_loops(frame.f_code, 0)]
    return next(chain(lasting, _items_that_are(module, variables), found, _attributes_that_are(module, variables)), "")


def _items_that_are(module: torch.nn.Module, variables: Mapping[str, Any]) -> Iterator[str]:
    """The items of lists, tuples and dicts among the variables that are this module."""
    for name, value in variables.items():
        if isinstance(value, CONTAINERS) and len(value) <= MAX_ITEMS:
            yield from (path for path, item in named_items(name, value) if item is module)


def _attributes_that_are(module: torch.nn.Module, variables: Mapping[str, Any]) -> Iterator[str]:
    """The attributes of other objects among the variables that are this module."""
    for value in variables.values():
        if not isinstance(value, HOLDERS) and isinstance(held := getattr(value, "__dict__", None), dict):
            yield from (str(attribute) for attribute, item in list(held.items()) if item is module)
