"""The calls of functions and modules that a traced call lies in: what groups the nodes of a large graph.

While code runs, a `ScopeStack` says which calls of modules are open, and around and between them which calls of the user's
functions. Each call is a `Scope` of its own, so that a module that is shared, or called again and again, gives one scope per
call. Written down, a scope is its calls from the outside in, each under the module's dotted path or the function's name, the
second call within the same scope with `@2`, as `torch.export` does: `("decoder", "decoder.cell@2")`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import dropwhile
from types import CodeType, FrameType
from typing import TypeVar

import torch

from gradviz.recording.user_code import frames_around

ScopePath = tuple[str, ...]
Item = TypeVar("Item")


class Scope:
    """One call of a module or a function.

    Attributes:
        called: the module, or the code of the function; None for what lies around all calls.
        module: the same where it is a module, else None.
        parent: the call that it lies in.
        number: counts the calls of the same thing within the parent, from 1.
    """

    __slots__ = ("_calls", "called", "module", "number", "parent")

    def __init__(self, called: torch.nn.Module | CodeType | None, parent: Scope | None = None, number: int = 1) -> None:
        self.called = called
        self.module = called if isinstance(called, torch.nn.Module) else None
        self.parent = parent
        self.number = number
        self._calls: dict[int, Scope] | None = None  # most call nothing

    def call(self, called: torch.nn.Module | CodeType) -> Scope:
        """The next call of `called` from here."""
        calls = self._calls
        if calls is None:
            calls = self._calls = {}
        before = calls.get(id(called))  # it holds `called`, so the id stays its own
        scope = calls[id(called)] = Scope(called, self, before.number + 1 if before else 1)
        return scope

    @property
    def is_repeated(self) -> bool:
        """Whether its parent calls the same thing more than once."""
        siblings = None if self.parent is None else self.parent._calls
        return siblings is not None and siblings[id(self.called)].number > 1

    @property
    def calls(self) -> tuple[Scope, ...]:
        """The calls that it lies in, from the outside in, itself last."""
        found = []
        scope: Scope | None = self
        while scope is not None and scope.called is not None:
            found.append(scope)
            scope = scope.parent
        return tuple(reversed(found))


class ScopeStack:
    """The calls that are open in one thread while it is recorded.

    Attributes:
        of_modules: those of modules, the innermost last.
    """

    def __init__(self) -> None:
        self._outside = Scope(None)
        self.of_modules: list[Scope] = []
        self._functions: list[tuple[FrameType, Scope]] = []

    def enter_module(self, module: torch.nn.Module, frame: FrameType | None) -> None:
        """Opens the call of a module. `frame` is the innermost of the user's; read only where no module is open."""
        around = self.of_modules[-1] if self.of_modules else self.innermost(frame)
        self.of_modules.append(around.call(module))

    def leave_module(self) -> None:
        if self.of_modules:
            self.of_modules.pop()

    def innermost(self, frame: FrameType | None) -> Scope:
        """The scope of what happens now. `frame` is the innermost of the user's; read only where no module is open."""
        if self.of_modules:
            return self.of_modules[-1]
        if frame is not None and self._functions and frame is self._functions[-1][0]:
            return self._functions[-1][1]
        return self._function(frame)

    def clear(self) -> None:
        """Lets go of everything."""
        self.of_modules.clear()
        self._functions.clear()

    def _function(self, innermost: FrameType | None) -> Scope:
        """The call that the innermost frame is: the same as long as it is the same frame, which is kept here meanwhile.

        A lambda, a comprehension and a script have no name to be found by; what they do belongs to what they lie in.
        """
        places = {id(frame): place for place, (frame, _) in enumerate(self._functions)}
        new = []
        still_open = 0
        for frame in frames_around(innermost):
            if id(frame) in places:
                still_open = places[id(frame)] + 1
                break
            new.append(frame)
        del self._functions[still_open:]
        scope = self._functions[-1][1] if self._functions else self._outside
        for frame in reversed(new):
            scope = scope if frame.f_code.co_name.startswith("<") else scope.call(frame.f_code)
            self._functions.append((frame, scope))
        return scope


def scope_paths(scopes: Collection[Scope], module_paths: Mapping[int, str]) -> dict[Scope, ScopePath]:
    """The names of the calls that each scope lies in, itself last.

    Functions that everything lies in are left out, and so is a root module, whose path is empty, unless it is called more
    than once.

    Args:
        scopes: all of one recording.
        module_paths: id of a module -> its dotted path.
    """
    around = _around(scopes)
    skipped = next((place for place, scope in enumerate(around) if not isinstance(scope.called, CodeType)), len(around))
    paths: dict[Scope | None, ScopePath] = dict.fromkeys(around[:skipped], ())
    for innermost in scopes:
        new = []
        scope: Scope | None = innermost
        while scope is not None and scope.called is not None and scope not in paths:
            new.append(scope)
            scope = scope.parent
        path = paths.get(scope, ())
        for call in reversed(new):
            name = _call_name(call, module_paths)
            path = paths[call] = (*path, name) if name else path
        paths[innermost] = path
    return {scope: paths[scope] for scope in scopes}


def _around(scopes: Iterable[Scope]) -> tuple[Scope, ...]:
    """The calls that all of these lie in, from the outside in: what their `calls` have in common, each looked at once."""
    innermost = iter(scopes)
    found = next(innermost, Scope(None)).calls
    depths = {call: depth for depth, call in enumerate(found, start=1)}  # how many of these each call lies in
    least = len(found)
    for one in innermost:
        scope: Scope | None = one
        new = []
        while scope is not None and scope not in depths:
            new.append(scope)
            scope = scope.parent
        depth = 0 if scope is None else depths[scope]
        depths |= dict.fromkeys(new, depth)
        least = min(least, depth)
    return found[:least]


def path_of_all(scope: Scope, module_paths: Mapping[int, str]) -> ScopePath:
    """What `scope_paths` says where everything lies in one and the same scope."""
    modules = dropwhile(lambda call: isinstance(call.called, CodeType), scope.calls)
    return tuple([name for call in modules if (name := _call_name(call, module_paths))])


def common(paths: Iterable[tuple[Item, ...]]) -> tuple[Item, ...]:
    """What all of these begin with.

    >>> common([("h.0", "h.0.attn"), ("h.0", "h.0.mlp")]), common([])
    (('h.0',), ())
    """
    found: tuple[Item, ...] | None = None
    for other in paths:
        if found is None:
            found = other
            continue
        apart = (place for place, pair in enumerate(zip(found, other, strict=False)) if pair[0] != pair[1])
        found = found[: next(apart, min(len(found), len(other)))]
    return found or ()


def _call_name(call: Scope, module_paths: Mapping[int, str]) -> str:
    called = call.called
    if isinstance(called, CodeType):
        name = called.co_qualname.rpartition("<locals>.")[2]
    else:
        name = module_paths.get(id(called), type(called).__name__)
        name = name or (type(called).__name__ if call.is_repeated else "")
    return f"{name}@{call.number}" if name and call.number > 1 else name
