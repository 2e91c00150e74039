"""What the user's code calls tensors: variables, arguments, items of containers, parameters and buffers of modules."""

from __future__ import annotations

import inspect
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from gradviz.recording.instructions import once_per_place
from gradviz.recording.modules import ModulesWithin, buffers_within, modules_within, parameters_within

CONTAINERS = (tuple, list, Mapping)
HOLDERS = (Tensor, torch.nn.Module, *CONTAINERS)
_BY_KEY = (dict, OrderedDict, defaultdict)
"""Their items are written as `d["key"]`. Of others they may be attributes too, as of what a Hugging Face model returns."""
MAX_ITEMS = 1000
"""A container of the code around with more items is not searched for what is to be named: it is data."""


def input_names(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Argument name -> what is handed in for it. `*xs` gives `xs[0]`, `xs[1]`; `**options` gives its own keys.

    What `Function.apply` of a custom Function is handed has the names that its forward gives to it.

    Raises:
        TypeError: the function cannot take these arguments.
    """
    plain, own = (function.__func__, 1) if type(function) is MethodType else (function, 0)
    if type(plain) is FunctionType and not kwargs and len(args) + own == plain.__code__.co_argcount:
        return dict(zip(plain.__code__.co_varnames[own:], args, strict=False))  # the usual case, without inspect's cost
    try:
        signature = inspect.signature(_forward_of(function) or function)
    except ValueError:  # many builtins have none
        return {f"input_{place}": value for place, value in enumerate(args)} | dict(kwargs)
    bound = signature.bind(*args, **kwargs)
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            named |= {f"{name}[{place}]" if len(value) > 1 else name: item for place, item in enumerate(value)}
        elif kind is inspect.Parameter.VAR_KEYWORD:
            named |= value
        else:
            named[name] = value
    return named


def _forward_of(function: Any) -> Any:
    """What `Function.apply` runs, without its `ctx`; None of any other function."""
    owner = getattr(function, "__self__", None)
    if not (isinstance(owner, type) and issubclass(owner, torch.autograd.Function) and function == owner.apply):
        return None
    has_own_setup = owner.setup_context is not torch.autograd.Function.setup_context
    return owner.forward if has_own_setup else partial(owner.forward, None)


def named_tensors(
    named: Mapping[str, Any],
    *,
    most: int | None = None,
    by_key: bool = False,
    within: Callable[[torch.nn.Module], ModulesWithin] = modules_within,
) -> Iterator[tuple[str, Tensor]]:
    """Tensors in nested tuples, lists, dicts and modules, each with the path that leads to it.

    A module's parameters and buffers carry their own dotted paths where it is the only module, and the variable's name in
    front where there are several.

    Args:
        named: name -> any value.
        most: a container of more items is not looked into; None for no limit.
        by_key: the item of a plain dict is called `losses["kl"]`, as in code that fills one, and not `data.kl`.
        within: tells what `modules_within` does.
    """
    pending = list(reversed(list(named.items())))
    seen: set[int] = set()
    while pending:
        name, value = pending.pop()
        if isinstance(value, Tensor):
            yield name, value
        elif isinstance(value, torch.nn.Module):
            prefix = f"{name}." if len(modules_among(named)) > 1 and len(root_modules(named)) > 1 else ""
            modules = within(value)
            held = [*parameters_within(value, modules), *buffers_within(value, modules)]
            yield from [(prefix + path, tensor) for path, tensor in held] if prefix else held
        elif isinstance(value, CONTAINERS) and id(value) not in seen and (most is None or len(value) <= most):
            seen.add(id(value))
            pending.extend(reversed(named_items(name, value, by_key=by_key)))


def named_items(name: str, container: Any, *, by_key: bool = False) -> list[tuple[str, Any]]:
    """What in a container may be or hold a tensor: a list of a million numbers is passed over quickly."""
    if isinstance(container, Mapping):
        keyed = by_key and type(container) in _BY_KEY
        return [
            (f"{name}[{_quoted(key)}]" if keyed and not isinstance(item, torch.nn.Module) else f"{name}.{key}", item)
            for key, item in list(container.items())
            if isinstance(item, HOLDERS)
        ]
    fields = getattr(container, "_fields", None)
    return [
        (f"{name}.{fields[place]}" if fields else f"{name}[{place}]", item)
        for place, item in enumerate(container)
        if isinstance(item, HOLDERS)
    ]


def _quoted(key: Any) -> str:
    return f'"{key}"' if isinstance(key, str) else str(key)


def root_modules(named: Mapping[str, Any]) -> dict[str, torch.nn.Module]:
    """The modules with parameters among named values, each once, under its first name."""
    roots: dict[str, torch.nn.Module] = {}
    for name, module in modules_among(named).items():
        if all(module is not root for root in roots.values()) and next(module.parameters(), None) is not None:
            roots[name] = module
    return roots


def modules_among(named: Mapping[str, Any]) -> dict[str, torch.nn.Module]:
    """Those of the values that are modules."""
    return {name: value for name, value in named.items() if isinstance(value, torch.nn.Module)}


def closure_names(function: Any) -> dict[str, Any]:
    """Free variables of a function and the globals that it names, nested functions included: name -> value."""
    function = inspect.unwrap(function) if callable(function) else function
    if inspect.ismethod(function):
        return {"self": function.__self__} | closure_names(function.__func__)
    if not inspect.isfunction(function):
        return {}
    code = function.__code__
    values: dict[str, Any] = {}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:  # the enclosing function has not assigned it yet
            continue
    known = function.__globals__
    return values | {name: known[name] for name in _named_in(code, 0) if name in known}


@once_per_place
def _named_in(code: CodeType, _: int) -> tuple[str, ...]:
    """The globals and attributes that code names, nested functions included."""
    names: dict[str, None] = {}
    pending = [code]
    while pending:
        inner = pending.pop()
        names |= dict.fromkeys(inner.co_names)
        pending.extend(constant for constant in inner.co_consts if isinstance(constant, CodeType))
    return tuple(names)


def frame_names(frame: FrameType | None) -> dict[str, Any]:
    """Local variables of a frame, the globals that its code names, and the optimizers among the others.

    An optimizer is told by the parameters that it holds, whether or not the code that asks for a trace names it.
    """
    if frame is None:
        return {}
    if not frame.f_code.co_flags & inspect.CO_OPTIMIZED and frame.f_locals is frame.f_globals:
        return {name: value for name, value in frame.f_globals.items() if not name.startswith("__")}
    known = frame.f_globals
    optimizers = {name: value for name, value in list(known.items()) if isinstance(value, Optimizer)}
    return optimizers | local_values(frame) | {name: known[name] for name in frame.f_code.co_names if name in known}


def local_value(frame: FrameType, name: str) -> Any:
    """What a local variable of a frame holds; None where it has none yet."""
    held = frame.f_locals
    value = held.get(name)
    _let_go(frame, held)
    return value


def local_values(frame: FrameType) -> dict[str, Any]:
    """The local variables of a frame."""
    held = frame.f_locals
    values = dict(held)
    _let_go(frame, held)
    return values


def _let_go(frame: FrameType, held: Mapping[str, Any]) -> None:
    """Up to Python 3.12 CPython keeps the dictionary that it hands out for a function's variables, and with it their values,
    until the function returns: it is emptied, so that nothing is left behind. From 3.13 on `held` is a view of the frame."""
    if frame.f_code.co_flags & inspect.CO_OPTIMIZED and isinstance(held, dict):
        held.clear()


def letters() -> Iterator[str]:
    """a, b, ..., z, a1, b1, ...: the names of the blackboard for values that have none."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    yield from alphabet
    round_number = 0
    while True:
        round_number += 1
        yield from (f"{letter}{round_number}" for letter in alphabet)
