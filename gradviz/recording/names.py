"""Turns places in the user's code into names: the variable that a call's result is assigned to, and its source line.

The name is read from the bytecode after the call, not from a dictionary of locals: it is exact where a name is bound
again and again (`h = layer(h)`), and reading it costs nothing while the code runs.
"""

from __future__ import annotations

import bisect
import dis
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from gradviz.recording.modules import ModulesWithin, buffers_within, modules_within, parameters_within

Frames = tuple[tuple[CodeType, int], ...]


Result = TypeVar("Result")
CONTAINERS = (tuple, list, Mapping)
HOLDERS = (Tensor, torch.nn.Module, *CONTAINERS)
_GIVING = ("LOAD_CONST", "LOAD_SMALL_INT", "KW_NAMES", "PRECALL")
"""Instructions between an argument and the call that takes it, where all other arguments are constants."""
_CALLING = ("CALL", "CALL_KW")
_TENSORS_OWN = ("data", "grad")
"""Attributes of tensors themselves: what is assigned to them is not called by them."""
_UNUSED = ("_",)
MAX_ITEMS = 1000
"""A container of the code around with more items is not searched for what is to be named: it is data."""


def once_per_place(function: Callable[[CodeType, int], Result]) -> Callable[[CodeType, int], Result]:
    """Remembers what a function said of each place in the code. By identity: a code object's own hash reads all of it."""
    said: dict[tuple[int, int], Result] = {}
    kept: dict[int, CodeType] = {}  # so that its id stays its own

    @wraps(function)
    def remembered(code: CodeType, offset: int) -> Result:
        try:
            return said[id(code), offset]
        except KeyError:
            said[id(code), offset] = found = function(code, offset)
            kept[id(code)] = code
            return found

    return remembered


@once_per_place
def assigned_names(code: CodeType, offset: int) -> tuple[str, ...]:
    """The names that the result of the instruction at `offset` is assigned to, in order; () where it is not assigned.

    Two names for `a, b = f(x)`, one for `y = f(x)`, `self.y = f(x)` and `y: Tensor = f(x)`. `y = z = f(x)` gives the first.
    """
    following = _following(code, offset)
    if not following:
        return ()
    first = following[0]
    if first.opname == "UNPACK_SEQUENCE":
        names = list(islice(_stored(following[1:]), first.arg or 0))
        return tuple(names) if len(names) == first.arg else ()
    if first.opname == "SWAP":  # `o.p, o.q = f(x), g(x)`: the last result lies on top and is stored after the others
        names = list(islice(_stored_by_all(following[1:]), first.arg or 0))
        return tuple(names[-1:]) if len(names) == first.arg else ()
    if first.opname == "COPY":
        following = following[1:]
    return tuple(islice(_stored(following), 1))


@once_per_place
def names_around(code: CodeType, offset: int) -> tuple[str, ...]:
    """The name that the call right around the instruction at `offset` is assigned to.

    `w = nn.Parameter(torch.ones(3))` and `w = torch.ones(3).requires_grad_()` give `w`.
    """
    following = _following(code, offset)
    called = next((place for place, step in enumerate(following) if not _is_giving(step)), len(following))
    is_call = called < len(following) and following[called].opname in _CALLING
    return tuple(islice(_stored(following[called + 1 :]), 1)) if is_call else ()


def _is_giving(step: dis.Instruction) -> bool:
    return step.opname in _GIVING or (step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.argval == "requires_grad_")


@once_per_place
def is_in_loop(code: CodeType, offset: int) -> bool:
    """Whether the instruction at `offset` may run again within one call of its function."""
    return any(start <= offset <= end for start, end in _loops(code, 0))


@once_per_place
def bound_in_loops(code: CodeType, _: int) -> frozenset[str]:
    """The variables that are bound again each time that a loop goes round."""
    loops = _loops(code, 0)
    inside = (step for step in _instructions(code, 0)[0] if any(start <= step.offset <= end for start, end in loops))
    bound = (step.argval for step in inside if step.opname.startswith("STORE_") and step.opname != "STORE_ATTR")
    return frozenset(name for names in bound for name in (names if isinstance(names, tuple) else (names,)))


@once_per_place
def source_line(code: CodeType, offset: int) -> str:
    """`file.py:12` for the instruction at `offset`; a notebook cell gives its own file name."""
    line = next(islice(code.co_positions(), offset // 2, None), (None,))[0] or code.co_firstlineno
    return f"{Path(code.co_filename).name}:{line}"


def result_names(frames: Frames) -> Iterator[tuple[str, ...]]:
    """The names that the result of a call gets, frame by frame: where a function returns it, its caller's name follows."""
    for code, offset in frames:
        names, is_returned = _fate(code, offset)
        if names:
            yield names
        elif not is_returned:
            return


def first_names(frames: Frames, count: int) -> tuple[str, ...]:
    """Of the `result_names` of a call with `count` results the first that fit them, "_" apart; () where none do."""
    for code, offset in frames:  # not over result_names: resuming a generator for each call costs as much again
        names, is_returned = _fate(code, offset)
        if names:
            if (len(names) == 1 or len(names) == count) and names != _UNUSED:
                return names
        elif not is_returned:
            break
    return ()


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
    within: Callable[[torch.nn.Module], ModulesWithin] = modules_within,
) -> Iterator[tuple[str, Tensor]]:
    """Tensors in nested tuples, lists, dicts and modules, each with the path that leads to it.

    A module's parameters and buffers carry their own dotted paths where it is the only module, and the variable's name in
    front where there are several.

    Args:
        named: name -> any value.
        most: a container of more items is not looked into; None for no limit.
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
            pending.extend(reversed(named_items(name, value)))


def named_items(name: str, container: Any) -> list[tuple[str, Any]]:
    """What in a container may be or hold a tensor: a list of a million numbers is passed over quickly."""
    if isinstance(container, Mapping):
        return [(f"{name}.{key}", item) for key, item in list(container.items()) if isinstance(item, HOLDERS)]
    fields = getattr(container, "_fields", None)
    return [
        (f"{name}.{fields[place]}" if fields else f"{name}[{place}]", item)
        for place, item in enumerate(container)
        if isinstance(item, HOLDERS)
    ]


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


@once_per_place
def _instructions(code: CodeType, _: int) -> tuple[list[dis.Instruction], list[int]]:
    instructions = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG", "NOP")]
    return instructions, [step.offset for step in instructions]


@once_per_place
def _loops(code: CodeType, _: int) -> list[tuple[int, int]]:
    """The first and the last instruction of each loop."""
    return [(step.argval, step.offset) for step in _instructions(code, 0)[0] if "JUMP_BACKWARD" in step.opname]


@once_per_place
def _following(code: CodeType, offset: int) -> list[dis.Instruction]:
    """The instructions after the one at `offset`; CPython may report an offset inside the caches of an instruction."""
    instructions, offsets = _instructions(code, 0)
    place = bisect.bisect_right(offsets, offset)
    return instructions[place : place + 40]


def _stored(instructions: Sequence[dis.Instruction]) -> Iterator[str]:
    """Names stored by the instructions at the start of a sequence, up to the first one that does something else."""
    for place, step in enumerate(instructions):
        if step.opname == "STORE_FAST_STORE_FAST":
            yield from step.argval
        elif step.opname == "STORE_FAST_LOAD_FAST":
            yield step.argval[0]
            return
        elif step.opname in ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF"):
            yield str(step.argval)
        elif step.opname.startswith("LOAD_") and [i.opname for i in instructions[place + 1 : place + 2]] == ["STORE_ATTR"]:
            if (attribute := str(instructions[place + 1].argval)) not in _TENSORS_OWN:
                yield attribute  # `self.y = ...` loads `self` first
            return
        else:
            return


def _stored_by_all(instructions: Sequence[dis.Instruction]) -> Iterator[str]:
    """Names stored one after the other, attributes of loaded objects among them."""
    rest = list(instructions)
    while rest:
        attribute = len(rest) > 1 and rest[0].opname.startswith("LOAD_") and rest[1].opname == "STORE_ATTR"
        names = list(islice(_stored(rest[:2] if attribute else rest[:1]), 1))
        if not names:
            return
        yield names[0]
        rest = rest[2 if attribute else 1 :]


@once_per_place
def _fate(code: CodeType, offset: int) -> tuple[tuple[str, ...], bool]:
    """What the result of the instruction at `offset` is assigned to, and whether the next instruction returns it."""
    following = _following(code, offset)
    return assigned_names(code, offset), bool(following) and following[0].opname.startswith("RETURN")
