"""Which calls are closed: rules that say of a scope which of its calls, from the outside in, is drawn as one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from fnmatch import fnmatchcase

from gradviz.recording.scopes import ScopePath

Closing = Callable[[ScopePath], int | None]
"""A scope -> how many of its calls, from the outside in, lead to the group that is closed; None where none is."""


def at_depth(depth: int) -> Closing:
    """Closes what lies below so many levels; nothing where that is 0."""
    return lambda scope: depth if len(scope) >= depth > 0 else None


def at_names(patterns: Collection[str]) -> Closing:
    """Closes the outermost call that a pattern means.

    >>> at_names(["h.*"])(("model", "h.0", "h.0.mlp"))
    2
    """

    def closing(scope: ScopePath) -> int | None:
        places = (place + 1 for place, name in enumerate(scope) if any(matches(name, pattern) for pattern in patterns))
        return next(places, None)

    return closing


def first_of(one: Closing, other: Closing) -> Closing:
    """Closes what either closes: of two calls the outer one."""

    def closing(scope: ScopePath) -> int | None:
        return min((length for length in (one(scope), other(scope)) if length is not None), default=None)

    return closing


def outside_of(named: Closing, rest: Closing, scopes: Collection[ScopePath]) -> Closing:
    """Closes what `named` does, and besides what `rest` does, unless one of the named calls is inside of it.

    >>> both = outside_of(at_names(["h.*.mlp"]), at_depth(1), [("h.0", "h.0.mlp"), ("h.0", "h.0.norm", "norm"), ("head",)])
    >>> both(("h.0", "h.0.mlp")), both(("h.0", "h.0.norm", "norm")), both(("head",)), both(())
    (2, 2, 1, None)
    """
    around = {scope[:length] for scope in scopes for length in range(1, named(scope) or 1)}

    def closing(scope: ScopePath) -> int | None:
        if (length := named(scope)) is not None or (length := rest(scope)) is None:
            return length
        return next((longer for longer in range(length, len(scope) + 1) if scope[:longer] not in around), None)

    return closing


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern means this call: `cell` means every call of it, `cell@1` the first one.

    >>> matches("cell", "cell@1"), matches("cell@2", "cell"), matches("cell@2", "cell@1"), matches("cells[1]", "cells[1]")
    (True, True, False, True)
    """
    numbered = name if "@" in name else f"{name}@1"
    return any(part == pattern or fnmatchcase(part, pattern) for part in (name, numbered, name.partition("@")[0]))


def exact(name: str, names: Collection[str]) -> str:
    """A pattern that means this call alone, of those with these names.

    >>> exact("cell", {"cell", "cell@2"}), exact("head", {"cell", "cell@2", "head"})
    ('cell@1', 'head')
    """
    return f"{name}@1" if f"{name}@2" in names else name
