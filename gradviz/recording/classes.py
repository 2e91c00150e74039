"""Remembers what is asked of a class again and again, and lets go of the class."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Result = TypeVar("Result")


def once_per_class(function: Callable[[type[Any]], Result]) -> Callable[[type[Any]], Result]:
    """Remembers what a function said of each class, as long as there is the class.

    `functools.cache` would hold it for good: a module or custom Function that is defined within a function may close over a
    whole model.

    >>> class Local: ...
    >>> @once_per_class
    ... def name(kind: type) -> str:
    ...     return kind.__name__
    >>> name(Local), name(Local)
    ('Local', 'Local')
    """
    said: dict[int, Result] = {}
    kept: dict[int, weakref.ref[type[Any]]] = {}  # which forget a class before another can get its id

    @wraps(function)
    def remembered(kind: type[Any]) -> Result:
        try:
            return said[id(kind)]
        except KeyError:
            own, found = id(kind), function(kind)

            def forget(_: weakref.ref[type[Any]]) -> None:
                del said[own], kept[own]

            kept[own] = weakref.ref(kind, forget)
            said[own] = found
            return found

    return remembered
